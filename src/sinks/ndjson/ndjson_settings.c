/*
 * ndjson_settings.c
 *	  Defines the settings of the NDJSON sink, and refuses wrong values.
 */
#include "postgres.h"

#include <limits.h>

#include "settings_place.h"
#include "sinks/ndjson/ndjson_settings.h"

int			ndjson_rotate_size_kb = 256 * 1024;
int			ndjson_file_mode = 0600;

static bool
ndjson_check_directory(char **value, void **extra, GucSource source)
{
	if (!settings_place_check(*value))
		return false;
	if ((*value)[0] != '\0' && settings_place_most_bytes(*value, PATH_DATABASE_BYTES) < MAXPGPATH - 2 * NAMEDATALEN)
		return true;
	GUC_check_errdetail("A directory of 1 to %d bytes is needed.", MAXPGPATH - 2 * NAMEDATALEN - 1);
	return false;
}

/* Only the server writes the files, and they are not executable. */
static bool
ndjson_check_file_mode(int *value, void **extra, GucSource source)
{
	if ((*value & ~0644) == 0 && (*value & 0600) == 0600)
		return true;
	GUC_check_errdetail("Modes are 0600, 0640, 0604 and 0644.");
	return false;
}

static const char *
ndjson_show_file_mode(void)
{
	static char text[12];

	snprintf(text, sizeof(text), "%04o", ndjson_file_mode);
	return text;
}

void
ndjson_settings_init(void)
{
	static PlaceSetting directory = {
		.name = "admin_ext.ndjson_directory",
		.meaning = "Where the NDJSON sink writes.",
		.details = "A relative path is under the data directory. %d stands for the database, %s for the store id.",
		.value = "admin_ext",
		.is_path = true,
		.check = ndjson_check_directory
	};

	settings_place_define(&directory);
	DefineCustomIntVariable("admin_ext.ndjson_file_mode",
							"Mode of the files of the NDJSON sink, in octal.",
							"A directory that the sink makes can be listed by whoever may read the files.",
							&ndjson_file_mode, 0600, 0600, 0644,
							PGC_SIGHUP, 0, ndjson_check_file_mode, NULL, ndjson_show_file_mode);
	DefineCustomIntVariable("admin_ext.ndjson_rotate_size",
							"Size at which the NDJSON sink begins a new file.",
							NULL, &ndjson_rotate_size_kb, 256 * 1024, 1, INT_MAX / 2,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
}
