/*
 * insider_setting_stored.c
 *	  The settings that are watched where they are stored for later sessions.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "audit/insider_setting.h"
#include "compat.h"

/*
 * A preloaded library runs in every session, and can remove the hooks.  So can a library that is
 * found in another directory, and a command or library that the server itself runs.  Some of these
 * settings do not exist in every version of the server.
 */
static const StoredSetting stored[] = {
	{"admin_ext.restoring", WEAK_ON},
	{"admin_ext.require_verified_jwt", WEAK_OFF},
	{"admin_ext.archive_required", WEAK_OFF},
	{"admin_ext.require_action_policy", WEAK_OFF},
	{"admin_ext.retention", WEAK_LOWER},
	{"admin_ext.sinks", WEAK_CHANGED},
	{"admin_ext.databases", WEAK_CHANGED},
	{"admin_ext.on_divergence", WEAK_CHANGED},
	{"shared_preload_libraries", WEAK_CHANGED},
	{"session_preload_libraries", WEAK_CHANGED},
	{"local_preload_libraries", WEAK_CHANGED},
	{"dynamic_library_path", WEAK_CHANGED},
	{"extension_control_path", WEAK_CHANGED},
	{"jit_provider", WEAK_CHANGED},
	{"archive_library", WEAK_CHANGED},
	{"archive_command", WEAK_CHANGED},
	{"restore_command", WEAK_CHANGED},
	{"archive_cleanup_command", WEAK_CHANGED},
	{"recovery_end_command", WEAK_CHANGED},
	{"session_replication_role", WEAK_CHANGED},
	{"allow_system_table_mods", WEAK_ON},
};

const StoredSetting *
insider_stored_setting(const char *name)
{
	for (int i = 0; i < lengthof(stored); i++)
	{
		if (pg_strcasecmp(name, stored[i].name) == 0)
			return &stored[i];
	}
	return NULL;
}

/*
 * In a worker: the values of the server's command line; NULL for a setting that it does not have.
 */
static char *commanded[lengthof(stored)];

void
insider_keep_command_line(void)
{
	for (int i = 0; i < lengthof(stored); i++)
	{
		if (compat_guc_source(stored[i].name) == PGC_S_ARGV)
			commanded[i] = MemoryContextStrdup(TopMemoryContext, GetConfigOption(stored[i].name, false, false));
	}
}

static Datum
text_array(Datum *values, bool *nulls)
{
	int			length = lengthof(stored);
	int			first = 1;

	return PointerGetDatum(construct_md_array(values, nulls, 1, &length, &first, TEXTOID, -1, false, TYPALIGN_INT));
}

Datum
insider_stored_names(void)
{
	Datum		names[lengthof(stored)];

	for (int i = 0; i < lengthof(stored); i++)
		names[i] = CStringGetTextDatum(stored[i].name);
	return text_array(names, NULL);
}

Datum
insider_commanded_values(void)
{
	Datum		values[lengthof(stored)];
	bool		nulls[lengthof(stored)];

	for (int i = 0; i < lengthof(stored); i++)
	{
		nulls[i] = commanded[i] == NULL;
		values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(commanded[i]);
	}
	return text_array(values, nulls);
}
