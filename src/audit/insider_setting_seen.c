/*
 * insider_setting_seen.c
 *	  Compares the settings of the configuration with what they were when a worker looked last.
 *
 * Sessions do not see a change of the configuration file.  admin_internal.setting_seen survives a
 * restart, and a worker also compares when it starts.  So a restart of the server does not avoid
 * the event of a reload.  Values that a database, a role or a session sets are left out, because
 * the command that stores them leaves an event.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "audit/insider_restoring.h"
#include "audit/insider_setting.h"
#include "owner.h"
#include "relations.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(admin_look_at_settings);

/*
 * For a setting that a worker pins for itself (worker_settings.c), the value is that of the command
 * line, or else of the files.
 */
#define OF_THE_CONFIGURATION \
	"from unnest($1, $2) as w(name, commanded) join pg_settings as s on s.name = w.name " \
	"left join admin_internal.setting_seen as k on k.name = s.name, " \
	"lateral (select case when s.source <> 'override' then s.setting else coalesce(w.commanded, " \
	"(select case s.vartype when 'bool' then case when f.setting::boolean then 'on' else 'off' end " \
	"when 'enum' then lower(f.setting) else f.setting end " \
	"from pg_file_settings as f where lower(f.name) = s.name and f.error is null order by f.seqno desc limit 1), " \
	"s.boot_val) end) as c(value) " \
	"where c.value is distinct from k.value " \
	"and s.source not in ('global', 'database', 'user', 'database user', 'client', 'session') "

static bool
is_lower_setting(const char *before, const char *after)
{
	Datum		intervals[2];

	intervals[0] = DirectFunctionCall3(interval_in, CStringGetDatum(before), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	intervals[1] = DirectFunctionCall3(interval_in, CStringGetDatum(after), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	return DatumGetBool(DirectFunctionCall2(interval_lt, intervals[1], intervals[0]));
}

static bool
is_weaker(const StoredSetting *setting, const char *before, const char *value)
{
	switch (setting->weakening)
	{
		case WEAK_ON:
			return strcmp(value, "on") == 0;
		case WEAK_OFF:
			return strcmp(value, "off") == 0;
		case WEAK_LOWER:
			return is_lower_setting(before, value);
		default:
			return true;
	}
}

/* A setting without a remembered value is left out, because there is no value to compare with. */
static void
collect_weakened(Datum *settings, const char *scope)
{
	static OwnerQuery query = {
		.text = "select s.name, k.value, c.value " OF_THE_CONFIGURATION "and k.value is not null order by s.name",
		.nargs = 2,
		.types = {TEXTARRAYOID, TEXTARRAYOID},
		.result = SPI_OK_SELECT
	};
	uint64		rows = owner_run(&query, settings, NULL, 0);

	for (uint64 i = 0; i < rows; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		const StoredSetting *setting = insider_stored_setting(SPI_getvalue(row, SPI_tuptable->tupdesc, 1));
		const char *before = SPI_getvalue(row, SPI_tuptable->tupdesc, 2);
		const char *value = SPI_getvalue(row, SPI_tuptable->tupdesc, 3);

		if (setting != NULL && value != NULL && is_weaker(setting, before, value))
			insider_collect_stored(setting->name, value, before, scope);
	}
}

/* Adds no row while admin_ext.restoring is on, because it would count as a row of a dump. */
static void
remember_settings(const Datum *settings)
{
	static OwnerQuery query = {
		.text = "insert into admin_internal.setting_seen as t (name, value) "
		"select s.name, c.value " OF_THE_CONFIGURATION "and c.value is not null and (k.name is not null or not $3) "
		"on conflict (name) do update set value = excluded.value",
		.nargs = 3,
		.types = {TEXTARRAYOID, TEXTARRAYOID, BOOLOID},
		.result = SPI_OK_INSERT
	};
	Datum		values[3] = {settings[0], settings[1], BoolGetDatum(admin_restoring)};

	(void) owner_run(&query, values, NULL, 0);
}

/*
 * look_at_settings(scope text): false for a copy that is being loaded, which has no history of its
 * own yet.
 */
Datum
admin_look_at_settings(PG_FUNCTION_ARGS)
{
	const char *scope = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		settings[2] = {insider_stored_names(), insider_commanded_values()};
	OwnerScope	owner;

	if (!insider_store_is_adopted())
		PG_RETURN_BOOL(false);
	owner_enter(&owner, admin_relations()->audit);
	collect_weakened(settings, scope);
	remember_settings(settings);
	owner_leave(&owner);
	PG_RETURN_BOOL(true);
}
