/*
 * ndjson.h
 *	  The built-in sink: CloudEvents documents, one per line, in files.
 */
#ifndef ADMIN_EXT_NDJSON_H
#define ADMIN_EXT_NDJSON_H

#include "admin_ext_sink.h"

extern const AdminSinkCallbacks *ndjson_sink_init(void);

#endif							/* ADMIN_EXT_NDJSON_H */
