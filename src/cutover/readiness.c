/*
 * readiness.c
 *	  The rows of admin.cutover_readiness.
 *
 * SQL functions examine the items.  Their results pass through here, where the differences from
 * what the library ships are added.  A function that was replaced by one that always returns "pass"
 * is itself such a difference.  An error in one part does not keep the view from answering: it
 * becomes a failure of the items that the part examines.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "compat.h"
#include "cutover/attempt.h"
#include "cutover/objects.h"
#include "cutover/readiness_settings.h"
#include "cutover/shipped.h"

PG_FUNCTION_INFO_V1(admin_readiness_items);
PG_FUNCTION_INFO_V1(admin_cutover_readiness_rows);

#define PROBLEMS_SHOWN	5

typedef struct ReadinessItem
{
	const char *item;
	const char *area;
	const char *title;
} ReadinessItem;

static const ReadinessItem readiness_items[] = {
	{"A1", "schema", "tables are as described"},
	{"A2", "schema", "views are as described"},
	{"A3", "schema", "audit trail is partitioned, indexed and append-only"},
	{"A4", "schema", "version is the installed one, and nothing was slipped in"},
	{"A5", "schema", "triggers are enabled"},
	{"B1", "store", "import is complete"},
	{"B2", "store", "parity is clean"},
	{"B3", "store", "counts are consistent"},
	{"B4", "store", "digests match"},
	{"C1", "TTL", "view and check agree on every approval"},
	{"C2", "TTL", "nothing past its deadline is valid"},
	{"C3", "TTL", "boundaries of deadlines hold"},
	{"C4", "TTL", "sweep is alive"},
	{"D1", "audit", "workers are alive"},
	{"D2", "audit", "topic takes the trail"},
	{"D3", "audit", "schema is registered"},
	{"D4", "audit", "delivery keeps up"},
	{"D5", "audit", "there are no dead letters"},
	{"D6", "audit", "archive is written"},
	{"E1", "FF", "checker role can check, and nothing more"},
	{"E2", "FF", "calls are seen"},
	{"E3", "FF", "p99 is within the budget"},
	{"E4", "FF", "Redis publisher is alive"},
	{"E5", "FF", "ingest has no gaps"},
	{"F1", "signers", "issuers and keys are there"},
	{"F2", "signers", "tokens are required"},
	{"F3", "signers", "separation of duties holds"},
	{"F4", "signers", "withdrawals are terminal"}
};

/* What was found, by the item's place in the table. */
typedef struct Readiness
{
	const char *status[lengthof(readiness_items)];
	const char *detail[lengthof(readiness_items)];
	List	   *problems[lengthof(readiness_items)];	/* of char *: differences from what is
														 * shipped */
} Readiness;

static int
readiness_place(const char *item)
{
	for (int i = 0; item && i < lengthof(readiness_items); i++)
		if (strcmp(readiness_items[i].item, item) == 0)
			return i;
	return -1;
}

static void
readiness_compare(void *argument)
{
	Readiness  *readiness = argument;
	ListCell   *cell;

	foreach(cell, shipped_differences())
	{
		const ObjectLine *problem = lfirst(cell);
		int			place = readiness_place(problem->item);

		Assert(place >= 0);
		readiness->problems[place] = lappend(readiness->problems[place], (void *) problem->value);
	}
}

static void
readiness_look(void *argument)
{
	Readiness  *readiness = argument;

	if (SPI_execute("select r.item, r.status, r.detail from admin_internal.readiness_looked_at() as r", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look at the items");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[row];
		int			place = readiness_place(SPI_getvalue(tuple, SPI_tuptable->tupdesc, 1));

		if (place < 0)
			continue;
		readiness->status[place] = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2);
		readiness->detail[place] = SPI_getvalue(tuple, SPI_tuptable->tupdesc, 3);
	}
}

/* A replaced library is loaded at a restart.  Until then an older library compares. */
static bool
readiness_has_bodies(List *problems)
{
	ListCell   *cell;

	foreach(cell, problems)
	{
		if (strstr(lfirst(cell), ": its body is not as shipped") != NULL)
			return true;
	}
	return false;
}

/* The detail of a failed item has the result of its function first, and then the differences. */
static char *
readiness_joined(const char *said, List *problems, bool enables)
{
	StringInfoData text;
	int			shown = 0;
	ListCell   *cell;

	initStringInfo(&text);
	if (said)
		appendStringInfo(&text, "%s; ", said);
	foreach(cell, problems)
	{
		if (shown++ == PROBLEMS_SHOWN)
			break;
		appendStringInfo(&text, "%s; ", (char *) lfirst(cell));
	}
	if (list_length(problems) > PROBLEMS_SHOWN)
		appendStringInfo(&text, "and %d more; ", list_length(problems) - PROBLEMS_SHOWN);
	appendStringInfo(&text, "%s%swhat is shipped stands in admin_ext--1.0.sql and admin_ext_cutover--1.0.sql",
					 enables ? "admin.restore_guards() enables triggers; " : "",
					 readiness_has_bodies(problems) ? "after an upgrade of the package restart the server; " : "");
	return text.data;
}

static void
readiness_put(Readiness *readiness, int place, Tuplestorestate *store, TupleDesc desc)
{
	const ReadinessItem *item = &readiness_items[place];
	const char *status = readiness->status[place];
	const char *detail = readiness->detail[place];
	Datum		values[5];
	bool		nulls[5] = {false};

	if (status == NULL)
	{
		status = "fail";
		detail = detail ? detail : "could not be looked at: no function answers for this item";
	}
	if (readiness->problems[place] != NIL)
	{
		detail = readiness_joined(strcmp(status, "fail") == 0 ? detail : NULL, readiness->problems[place],
								  strcmp(item->item, "A5") == 0);
		status = "fail";
	}
	values[0] = CStringGetTextDatum(item->item);
	values[1] = CStringGetTextDatum(item->area);
	values[2] = CStringGetTextDatum(item->title);
	values[3] = CStringGetTextDatum(status);
	values[4] = CStringGetTextDatum(detail ? detail : "");
	tuplestore_putvalues(store, desc, values, nulls);
}

/* (item, area, title, status, detail) of each item. */
Datum
admin_cutover_readiness_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Readiness  *readiness;
	int			settings;
	char	   *error;

	InitMaterializedSRF(fcinfo, 0);
	settings = readiness_pin_settings();
	SPI_connect();
	readiness = palloc0(sizeof(*readiness));
	if ((error = cutover_attempt(readiness_compare, readiness)) != NULL)
	{
		int			place = readiness_place("A4");

		readiness->problems[place] = list_make1(psprintf("the schema could not be compared: %s", error));
	}
	if ((error = cutover_attempt(readiness_look, readiness)) != NULL)
		for (int i = 0; i < lengthof(readiness_items); i++)
			readiness->detail[i] = psprintf("could not be looked at: %s", error);
	for (int i = 0; i < lengthof(readiness_items); i++)
		readiness_put(readiness, i, rsinfo->setResult, rsinfo->setDesc);
	SPI_finish();
	AtEOXact_GUC(true, settings);
	return (Datum) 0;
}

/* (item, area, title) of each item. */
Datum
admin_readiness_items(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(readiness_items); i++)
	{
		const ReadinessItem *item = &readiness_items[i];
		Datum		values[] = {CStringGetTextDatum(item->item), CStringGetTextDatum(item->area), CStringGetTextDatum(item->title)};
		bool		nulls[] = {false, false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
