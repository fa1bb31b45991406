/*
 * sink_table.c
 *	  Sinks that are built in, and the loading of others.  In the worker only: a
 *	  backend never maps a sink's library.
 */
#include "postgres.h"

#include "fmgr.h"

#include "delivery/sink_table.h"
#include "sinks/ndjson/ndjson.h"

static const struct
{
	const char *name;
	AdminSinkInit init;
}			built_in[] = {
	{"ndjson", ndjson_sink_init},
};

const AdminSinkCallbacks *
sink_callbacks(const char *name)
{
	AdminSinkInit init = NULL;
	const AdminSinkCallbacks *callbacks;

	for (int i = 0; i < lengthof(built_in); i++)
	{
		if (strcmp(name, built_in[i].name) == 0)
			init = built_in[i].init;
	}
	if (init == NULL)
		init = (AdminSinkInit) load_external_function(psprintf("$libdir/admin_ext_%s", name),
													  "_PG_admin_sink_init", true, NULL);
	callbacks = init();
	if (callbacks == NULL || callbacks->api_version != ADMIN_SINK_API_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("library of sink \"%s\" was built for another version of admin_ext", name)));
	return callbacks;
}
