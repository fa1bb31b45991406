/*
 * readiness_settings.c
 *	  Settings that a session, a role or a database may set, and that must not influence what
 *	  readiness finds.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "cutover/objects.h"
#include "cutover/readiness_settings.h"

/*
 * All of pg_settings that change how SQL is parsed, what the pg_get_*def() functions and
 * the output functions of types print, or which rows are seen.  Settings that only choose
 * plans are left alone; those that C alone reads cannot be set by a session.
 */
static const char *const readiness_pins[][2] = {
	/* names, and how they are printed */
	{"search_path", "pg_catalog, pg_temp"},
	{"quote_all_identifiers", "off"},
	/* parsing */
	{"standard_conforming_strings", "on"},
	{"backslash_quote", "safe_encoding"},
	{"escape_string_warning", "on"},
	{"transform_null_equals", "off"},
	{"array_nulls", "on"},
	{"xmloption", "content"},
	{"plpgsql.variable_conflict", "error"},
	{"plpgsql.extra_errors", "none"},
	{"plpgsql.extra_warnings", "none"},
	/* output of types */
	{"timezone", "UTC"},
	{"datestyle", "ISO, YMD"},
	{"intervalstyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"xmlbinary", "base64"},
	{"lc_messages", "C"},
	{"lc_monetary", "C"},
	{"lc_numeric", "C"},
	{"lc_time", "C"},
	/* rows: an error instead of a part of them */
	{"row_security", "off"},
	{"default_transaction_read_only", "off"},
};

int
readiness_pin_settings(void)
{
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(readiness_pins); i++)
		(void) set_config_option(readiness_pins[i][0], readiness_pins[i][1],
								 PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	/* Minor releases of 2024 and later have it: views would be refused. */
	if (GetConfigOption("restrict_nonsystem_relation_kind", true, false))
		(void) set_config_option("restrict_nonsystem_relation_kind", "", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}
