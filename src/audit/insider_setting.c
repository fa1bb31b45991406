/*
 * insider_setting.c
 *	  Settings that weaken what the trail promises, and the sessions that change them.
 *
 * The assign hook sees every change of a setting: by SET, by a function's own SET clause, and by
 * set_config(), which is not a command.  The hook may not write, so the event follows at the end of
 * the transaction, or of the next one that can write.  A value from the configuration, a database
 * or a role is not the session's own change.  Its event is that of ALTER SYSTEM, ALTER DATABASE,
 * ALTER ROLE or the reload.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "audit/insider_collect.h"
#include "audit/insider_setting.h"
#include "compat.h"
#include "json_text.h"

/* A boolean setting, and the value that weakens what the trail promises. */
typedef struct WatchedSwitch
{
	const char *name;
	bool		weak_value;
	bool		is_weak_by_configuration;	/* so the session's own SET adds nothing */
	bool		is_weak;		/* now, by this session's own doing */
	bool		was_weak;		/* at some time in this transaction */
	bool		is_recorded;	/* the trail has this session's event for the weak value */
	bool		is_recording;	/* the same, once the transaction commits */
	bool		is_collected;	/* looked at in this transaction */
} WatchedSwitch;

enum WatchedIndex
{
	WATCHED_RESTORING,
	WATCHED_REQUIRE_JWT,
	WATCHED_REQUIRE_POLICY
};

static WatchedSwitch switches[] = {
	[WATCHED_RESTORING] = {.name = "admin_ext.restoring", .weak_value = true},
	[WATCHED_REQUIRE_JWT] = {.name = "admin_ext.require_verified_jwt", .weak_value = false},
	[WATCHED_REQUIRE_POLICY] = {.name = "admin_ext.require_action_policy", .weak_value = false},
};

/* Tells the assign hook where a value comes from. */
bool
insider_check_switch(bool *value, void **extra, GucSource source)
{
	bool		is_session = source == PGC_S_CLIENT || source == PGC_S_SESSION;

	*extra = compat_guc_strdup(is_session ? "s" : "");
	return *extra != NULL;
}

static void
assign_switch(WatchedSwitch *watched, bool value, const char *extra)
{
	if (InitializingParallelWorker || IsParallelWorker())
		return;
	if (extra == NULL || extra[0] != 's')
		watched->is_weak_by_configuration = value == watched->weak_value;
	watched->is_weak = value == watched->weak_value && extra != NULL && extra[0] == 's' &&
		!watched->is_weak_by_configuration;
	watched->was_weak = watched->was_weak || watched->is_weak;
}

void
insider_assign_restoring(bool value, void *extra)
{
	assign_switch(&switches[WATCHED_RESTORING], value, extra);
}

void
insider_assign_require_jwt(bool value, void *extra)
{
	assign_switch(&switches[WATCHED_REQUIRE_JWT], value, extra);
}

void
insider_assign_require_policy(bool value, void *extra)
{
	assign_switch(&switches[WATCHED_REQUIRE_POLICY], value, extra);
}

static bool
switch_begins(const WatchedSwitch *watched)
{
	return (watched->was_weak || watched->is_weak) && !watched->is_recorded;
}

static bool
switch_ends(const WatchedSwitch *watched)
{
	return !watched->is_weak && (watched->is_recorded || watched->was_weak);
}

bool
insider_has_settings(void)
{
	bool		any = false;

	for (int i = 0; i < lengthof(switches); i++)
		any = any || switch_begins(&switches[i]) || switch_ends(&switches[i]);
	return any;
}

static void
collect_switch(const WatchedSwitch *watched, bool value)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"setting\":");
	append_json_cstring(&payload, watched->name);
	appendStringInfo(&payload, ",\"value\":\"%s\",\"scope\":\"session\"}", value ? "on" : "off");
	insider_collect("setting.changed", payload.data);
	insider_log(psprintf("a session changed \"%s\" to %s", watched->name, value ? "on" : "off"));
	pfree(payload.data);
}

/*
 * The first call collects the settings that were weakened, the second those that no longer are.
 * The event of the loaded rows comes in between.
 */
void
insider_collect_settings(bool weakened)
{
	for (int i = 0; i < lengthof(switches); i++)
	{
		WatchedSwitch *watched = &switches[i];

		if (weakened && switch_begins(watched))
			collect_switch(watched, watched->weak_value);
		if (!weakened && switch_ends(watched))
			collect_switch(watched, !watched->weak_value);
		watched->is_recording = watched->is_weak;
		watched->is_collected = true;
	}
}

/*
 * An event that could not be written waits for a transaction that can write.  A rolled-back change
 * counts as not made.  After PREPARE TRANSACTION the session keeps the setting, but its event may
 * yet be rolled back.  So the next transaction writes another event.
 */
void
insider_settings_end(XactEvent event)
{
	for (int i = 0; i < lengthof(switches); i++)
	{
		WatchedSwitch *watched = &switches[i];

		if (event == XACT_EVENT_COMMIT)
			watched->is_recorded = watched->is_recording;
		watched->is_recording = watched->is_recorded;
		if (event == XACT_EVENT_ABORT || (event == XACT_EVENT_COMMIT && watched->is_collected))
			watched->was_weak = false;
		watched->is_collected = false;
	}
}
