/*
 * sink_table.c
 *	  Lists the sinks that come with the extension, and loads sinks.  Only a worker loads a sink's
 *	  library; a backend never does.  But every session knows the settings of the sinks that come
 *	  with the extension, to show them and to refuse wrong values.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "delivery/sink_table.h"
#include "sinks/kafka/kafka_settings.h"
#include "sinks/ndjson/ndjson.h"
#include "sinks/ndjson/ndjson_settings.h"
#include "sinks/redis/redis_settings.h"

/* The sinks that come with the extension. */
static const struct
{
	const char *name;
	AdminSinkInit init;			/* NULL: it is in a library of its own */
	void		(*define_settings) (void);	/* all sessions know them */
}			sinks[] = {
	{"kafka", NULL, kafka_settings_init},
	{"ndjson", ndjson_sink_init, ndjson_settings_init},
	{"redis", NULL, redis_settings_init},
};

void
sink_settings_init(void)
{
	for (int i = 0; i < lengthof(sinks); i++)
		sinks[i].define_settings();
}

/*
 * A sink of somebody else defines its settings when its library is loaded.  Until then a value that
 * the database carries hides that of the configuration files, so they are read again.
 */
static AdminSinkInit
load_sink(const char *name)
{
	static bool is_loaded = false;
	AdminSinkInit init = (AdminSinkInit) load_external_function(psprintf("$libdir/admin_ext_%s", name),
																"_PG_admin_sink_init", true, NULL);

	if (!is_loaded)
		ProcessConfigFile(PGC_SIGHUP);
	is_loaded = true;
	return init;
}

const AdminSinkCallbacks *
sink_callbacks(const char *name)
{
	AdminSinkInit init = NULL;
	const AdminSinkCallbacks *callbacks;

	for (int i = 0; i < lengthof(sinks); i++)
	{
		if (strcmp(name, sinks[i].name) == 0)
			init = sinks[i].init;
	}
	if (init == NULL)
		init = load_sink(name);
	callbacks = init();
	if (callbacks == NULL || callbacks->api_version != ADMIN_SINK_API_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("library of sink \"%s\" was built for another version of admin_ext", name)));
	return callbacks;
}
