/*
 * sink_table.h
 *	  Finds a sink's callbacks by its name.
 */
#ifndef ADMIN_EXT_SINK_TABLE_H
#define ADMIN_EXT_SINK_TABLE_H

#include "admin_ext_sink.h"

/* Defines the settings of the sinks that come with the extension; for _PG_init. */
extern void sink_settings_init(void);

/*
 * Returns the callbacks of a sink: of ndjson, which is part of admin_ext, or of the library
 * admin_ext_<name>.  Raises an error if there is no such library.  Outside a transaction.
 */
extern const AdminSinkCallbacks *sink_callbacks(const char *name);

#endif							/* ADMIN_EXT_SINK_TABLE_H */
