/*
 * ndjson_settings.h
 *	  The settings of the NDJSON sink, as variables.  The directory is asked for by name: it is
 *	  another one for each database and store.
 */
#ifndef ADMIN_EXT_NDJSON_SETTINGS_H
#define ADMIN_EXT_NDJSON_SETTINGS_H

extern int	ndjson_rotate_size_kb;
extern int	ndjson_file_mode;

extern void ndjson_settings_init(void);

#endif							/* ADMIN_EXT_NDJSON_SETTINGS_H */
