/*
 * worker_settings.c
 *	  Pins settings that must not affect delivery, even if a database or a role sets them.
 *
 * It pins settings that change how statements are parsed, names are quoted, values are written,
 * privileges are checked, tables are created, or how long a statement may take.  The test
 * test/t/025_worker_settings.pl lists every other setting of the server, and why it does no harm.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "compat.h"
#include "delivery/worker_settings.h"

PG_FUNCTION_INFO_V1(admin_worker_pins);

#define LONGEST_LOCK_TIMEOUT	1000	/* milliseconds */
#define SHORTEST_LOCK_TIMEOUT	10

static const char *const pins[][2] = {
	/* who acts, and what he sees */
	{"role", "none"},
	{"row_security", "on"},
	{"session_replication_role", "origin"},
	{"restrict_nonsystem_relation_kind", ""},
	{"lo_compat_privileges", "off"},
	{"allow_system_table_mods", "off"},
	/* how a statement is read */
	{"search_path", "pg_catalog, pg_temp"},
	{"standard_conforming_strings", "on"},
	{"escape_string_warning", "on"},
	{"backslash_quote", "safe_encoding"},
	{"array_nulls", "on"},
	{"transform_null_equals", "off"},
	{"xmloption", "content"},
	{"check_function_bodies", "on"},
	{"plpgsql.variable_conflict", "error"},
	{"plpgsql.extra_errors", "none"},
	/* how values and names are written */
	{"quote_all_identifiers", "off"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"timezone_abbreviations", "Default"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"xmlbinary", "base64"},
	{"lc_monetary", "C"},
	{"lc_numeric", "C"},
	{"lc_time", "C"},
	/* how tables are made */
	{"default_tablespace", ""},
	{"temp_tablespaces", ""},
	{"default_table_access_method", "heap"},
	{"default_toast_compression", "pglz"},
	/* how long a statement may take, and what ends the worker */
	{"statement_timeout", "0"},
	{"lock_timeout", CppAsString2(LONGEST_LOCK_TIMEOUT)},	/* less where deadlock_timeout is
															 * short, see below */
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"transaction_timeout", "0"},
	{"exit_on_error", "off"},
	/* what transactions are like; a commit waits for the disk, and durable.c for the standbys */
	{"synchronous_commit", "local"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_deferrable", "off"},
	/* how statements are run */
	{"force_parallel_mode", "off"},
	{"debug_parallel_query", "off"},
	{"gin_fuzzy_search_limit", "0"},
	{"admin_ext.restoring", "off"},
};

/* Not every version of the server has each; those of PL/pgSQL come with its library. */
static bool
setting_is_known(const char *name)
{
	return strchr(name, '.') != NULL || GetConfigOption(name, true, false) != NULL;
}

/*
 * lock_timeout is at most half of deadlock_timeout, as it is when the worker begins, but not less
 * than SHORTEST_LOCK_TIMEOUT.  A session may
 * wait for a worker that waits for this session (DROP EXTENSION, for example).  The shorter timeout
 * keeps that session from failing with a deadlock.
 */
static void
pin_lock_timeout(void)
{
	char		text[16];

	snprintf(text, sizeof(text), "%d", Max(Min(DeadlockTimeout / 2, LONGEST_LOCK_TIMEOUT), SHORTEST_LOCK_TIMEOUT));
	SetConfigOption("lock_timeout", text, PGC_SUSET, PGC_S_OVERRIDE);
}

void
worker_pin_settings(void)
{
	/* The name of a role is looked up in the catalog. */
	StartTransactionCommand();
	SetConfigOption("session_authorization", GetUserNameFromId(BOOTSTRAP_SUPERUSERID, false), PGC_SUSET, PGC_S_OVERRIDE);
	CommitTransactionCommand();
	for (int i = 0; i < lengthof(pins); i++)
	{
		if (setting_is_known(pins[i][0]))
			SetConfigOption(pins[i][0], pins[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
	pin_lock_timeout();
}

/* One row per setting that the worker pins. */
Datum
admin_worker_pins(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(pins); i++)
	{
		Datum		values[2] = {CStringGetTextDatum(pins[i][0]), CStringGetTextDatum(pins[i][1])};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
