/*
 * ingest_sources.c
 *	  See ingest_sources.h.
 *
 * The prefixes are those of the user whose EXECUTE privilege the call needed: the current user,
 * with the roles whose privileges it inherits.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "ingest/ingest_sources.h"
#include "layout.h"
#include "owner.h"
#include "relations.h"
#include "text_limits.h"

/* The texts of the first column of what owner_run() has found, in a context of the caller's. */
static text **
ingest_found_texts(uint64 count, MemoryContext context)
{
	text	  **texts = MemoryContextAllocHuge(context, (count + 1) * sizeof(text *));

	for (uint64 i = 0; i < count; i++)
	{
		Datum		value = layout_set_value(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, TEXTOID);
		MemoryContext before = MemoryContextSwitchTo(context);

		texts[i] = DatumGetTextPCopy(value);
		MemoryContextSwitchTo(before);
	}
	return texts;
}

static Datum
ingest_text_array(text *const *texts, int count)
{
	Datum	   *values = palloc((count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		values[i] = PointerGetDatum(texts[i]);
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static bool
ingest_begins_with(const text *source, const text *prefix)
{
	return VARSIZE_ANY_EXHDR(source) >= VARSIZE_ANY_EXHDR(prefix) &&
		memcmp(VARDATA_ANY(source), VARDATA_ANY(prefix), VARSIZE_ANY_EXHDR(prefix)) == 0;
}

static char *
ingest_shown_source(const text *source)
{
	const char *bytes = VARDATA_ANY(source);
	int			length = VARSIZE_ANY_EXHDR(source);
	int			shown = pg_mbcharcliplen(bytes, length, SHOWN_CHARACTERS);

	return psprintf("%.*s%s", shown, bytes, shown < length ? "..." : "");
}

static const char *
ingest_not_granted(const text *source, const char *role)
{
	return psprintf("\"source\" does not begin with a prefix granted to role \"%s\": \"%s\"; "
					"a superuser grants one with admin.grant_access(role, 'checker', source_prefix)",
					role, ingest_shown_source(source));
}

void
ingest_refuse_sources(IngestEvent *events, int count)
{
	static OwnerQuery query = {
		.text = "select p from admin_internal.ingest_prefixes($1) as p",
		.nargs = 1,
		.types = {OIDOID},
		.result = SPI_OK_SELECT
	};
	MemoryContext context = CurrentMemoryContext;
	Oid			user = GetUserId();
	Datum		caller = ObjectIdGetDatum(user);
	OwnerScope	scope;
	uint64		prefix_count;
	text	  **prefixes;

	if (superuser_arg(user))
		return;
	owner_enter(&scope, admin_relations()->audit);
	prefix_count = owner_run(&query, &caller, NULL, 0);
	prefixes = ingest_found_texts(prefix_count, context);
	owner_leave(&scope);
	for (int i = 0; i < count; i++)
	{
		uint64		tried = 0;

		CHECK_FOR_INTERRUPTS();
		if (events[i].error != NULL)
			continue;
		while (tried < prefix_count && !ingest_begins_with(events[i].source, prefixes[tried]))
			tried++;
		if (tried == prefix_count)
			events[i].error = ingest_not_granted(events[i].source, GetUserNameFromId(user, false));
	}
}

/* Adds new sources, up to the limit of the caller. */
static void
ingest_add_sources(Oid user, Datum sources)
{
	static OwnerQuery find = {
		.text = "select pg_catalog.array_agg(u.source order by u.n) from pg_catalog.unnest($1) with ordinality as u(source, n) "
		"where not exists (select from admin.ingest_source as i where i.source operator(pg_catalog.=) u.source)",
		.nargs = 1,
		.types = {TEXTARRAYOID},
		.result = SPI_OK_SELECT
	};
	static OwnerQuery add = {
		.text = "insert into admin.ingest_source (source) select s from pg_catalog.unnest($1) with ordinality as u(s, n) "
		"order by n on conflict do nothing",
		.nargs = 1,
		.types = {TEXTARRAYOID},
		.result = SPI_OK_INSERT
	};
	static OwnerQuery add_within = {
		.text = "insert into admin.ingest_source (source) "
		"select s from pg_catalog.unnest(admin_internal.ingest_room($2, $1, $3)) with ordinality as u(s, n) "
		"order by n on conflict do nothing",
		.nargs = 3,
		.types = {TEXTARRAYOID, OIDOID, INT4OID},
		.result = SPI_OK_INSERT
	};
	Datum		values[] = {sources, ObjectIdGetDatum(user), Int32GetDatum(INGEST_MOST_SOURCES)};
	bool		isnull;

	(void) owner_run(&find, values, NULL, 1);
	values[0] = layout_value(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, TEXTARRAYOID, &isnull);
	if (!isnull)
		(void) owner_run(superuser_arg(user) ? &add : &add_within, values, NULL, 0);
}

bool *
ingest_lock_sources(text *const *sources, int count)
{
	static OwnerQuery lock = {
		.text = "select from admin.ingest_source as i where source operator(pg_catalog.=) $1 for no key update",
		.nargs = 1,
		.types = {TEXTOID},
		.result = SPI_OK_SELECT
	};
	bool	   *is_locked = palloc(count * sizeof(bool));
	Datum		array = ingest_text_array(sources, count);
	Oid			user = GetUserId();
	OwnerScope	scope;

	owner_enter(&scope, admin_relations()->audit);
	ingest_add_sources(user, array);
	for (int i = 0; i < count; i++)
	{
		Datum		source = PointerGetDatum(sources[i]);

		is_locked[i] = owner_run(&lock, &source, NULL, 1) == 1;
	}
	owner_leave(&scope);
	return is_locked;
}

const char *
ingest_no_room(const text *source)
{
	return psprintf("\"source\" is new and one too many: \"%s\"; the prefixes granted to a role take at most %d sources",
					ingest_shown_source(source), INGEST_MOST_SOURCES);
}
