/*
 * ndjson.h
 *	  The built-in sink: CloudEvents documents, one per line, in files.
 */
#ifndef ADMIN_EXT_NDJSON_H
#define ADMIN_EXT_NDJSON_H

#include "admin_ext_sink.h"

/* Settings, defined by settings.c. */
extern char *ndjson_directory;
extern int	ndjson_rotate_size_kb;
extern int	ndjson_file_mode;

extern const AdminSinkCallbacks *ndjson_sink_init(void);

#endif							/* ADMIN_EXT_NDJSON_H */
