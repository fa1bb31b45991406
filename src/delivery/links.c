/*
 * links.c
 *	  See links.h.
 *
 * If only the database keeps the position, one link is recorded with each position.  If the sink
 * keeps it too, the links since the last recorded position are recorded with it, in one statement.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "delivery/links.h"
#include "delivery/statement.h"
#include "layout.h"

PG_FUNCTION_INFO_V1(admin_chain_start);

static Statement record_statement = {
	"select admin_internal.record_links($1, $2, $3, $4)", 4, {TEXTOID, INT8ARRAYOID, INT8ARRAYOID, BYTEAARRAYOID}
};
static Statement counts_statement = {
	"select last_number - first_number + 1 from admin_internal.delivery_link "
	"where store_id = $2::uuid and sink = $1 and last_number between $3 and $4 and first_number >= $3 order by last_number", 4,
	{TEXTOID, TEXTOID, INT8OID, INT8OID}
};

void
links_add(Links *links, const Position *position, MemoryContext context)
{
	Link	   *link;

	if (links->links == NULL)
		links->links = MemoryContextAlloc(context, MOST_LINKS * sizeof(Link));
	if (links->count == MOST_LINKS)
		elog(ERROR, "too many batches since the position was recorded");
	link = &links->links[links->count++];
	link->first_number = position->last_number - position->batch_count + 1;
	link->last_number = position->last_number;
	memcpy(link->chain, position->chain, CHAIN_BYTES);
}

static Datum
array_of(Datum *values, int count, Oid type)
{
	ArrayType  *array = type == INT8OID ? construct_array(values, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE) :
	construct_array(values, count, BYTEAOID, -1, false, TYPALIGN_INT);

	return PointerGetDatum(array);
}

void
links_record(Links *links, const char *sink)
{
	Datum	   *firsts;
	Datum	   *lasts;
	Datum	   *chains;
	Datum		values[] = {CStringGetTextDatum(sink), 0, 0, 0};

	if (links->count == 0)
		return;
	firsts = palloc(links->count * sizeof(Datum));
	lasts = palloc(links->count * sizeof(Datum));
	chains = palloc(links->count * sizeof(Datum));
	for (int i = 0; i < links->count; i++)
	{
		const Link *link = &links->links[i];

		firsts[i] = Int64GetDatum(link->first_number);
		lasts[i] = Int64GetDatum(link->last_number);
		chains[i] = statement_bytea(link->chain, CHAIN_BYTES);
	}
	values[1] = array_of(firsts, links->count, INT8OID);
	values[2] = array_of(lasts, links->count, INT8OID);
	values[3] = array_of(chains, links->count, BYTEAOID);
	statement_run(&record_statement, values);
	SPI_finish();
	links->count = 0;
}

int
links_counts(const char *sink, const char *store_id, int64 first, int64 last, int64 **counts)
{
	Datum		values[] = {
		CStringGetTextDatum(sink), CStringGetTextDatum(store_id), Int64GetDatum(first), Int64GetDatum(last)
	};
	MemoryContext caller = CurrentMemoryContext;
	int64		sum = 0;
	int			count;

	statement_run(&counts_statement, values);
	count = (int) SPI_processed;
	*counts = MemoryContextAllocHuge(caller, Max(count, 1) * sizeof(int64));
	for (int i = 0; i < count; i++)
	{
		bool		isnull;

		(*counts)[i] = DatumGetInt64(layout_value(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, INT8OID, &isnull));
		sum += (*counts)[i];
	}
	SPI_finish();
	return sum == last - first + 1 ? count : 0;
}

Datum
admin_chain_start(PG_FUNCTION_ARGS)
{
	char	   *store_id = DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(0)));
	unsigned char chain[CHAIN_BYTES];

	if (!chain_start(store_id, text_to_cstring(PG_GETARG_TEXT_PP(1)), chain))
		elog(ERROR, "could not compute SHA-256 digest");
	return statement_bytea(chain, CHAIN_BYTES);
}
