/*
 * insider_restoring.c
 *	  Rows that are loaded while admin_ext.restoring is on.
 *
 * The first one in a transaction marks the store as loaded: nothing is delivered until an operator
 * has said where delivery goes on.  What was loaded is one event at the end of the transaction.
 * The counts live in the transaction's memory, by savepoint.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "audit/audit_table.h"
#include "audit/insider_collect.h"
#include "audit/insider_restoring.h"
#include "audit/row_pins.h"
#include "compat.h"
#include "json_text.h"
#include "owner.h"
#include "relations.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(admin_refuse_while_restoring);

typedef struct LoadedRows
{
	Oid			table;
	SubTransactionId subid;
	int64		rows;
	int64		highest;		/* audit_id, of the trail's rows */
	struct LoadedRows *next;
} LoadedRows;

/* Belongs to the transaction `loaded_in`.  A later transaction starts a new list. */
static LoadedRows *loaded = NULL;
static LocalTransactionId loaded_in = InvalidLocalTransactionId;

static void
mark_store(void)
{
	static OwnerQuery query = {
		.text = "update admin.store set adopted_at = null where adopted_at is not null",
		.result = SPI_OK_UPDATE
	};
	OwnerScope	scope;

	owner_enter(&scope, admin_relations()->audit);
	(void) owner_run(&query, NULL, NULL, 0);
	owner_leave(&scope);
}

bool
insider_store_is_adopted(void)
{
	static OwnerQuery query = {
		.text = "select from admin.store where adopted_at is not null",
		.result = SPI_OK_SELECT
	};

	return owner_finds(&query, admin_relations()->audit);
}

/* Each savepoint has its own entries, so that a rollback removes its counts and its mark. */
static void
at_savepoint_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (loaded_in != compat_local_xid())
		return;
	for (LoadedRows **link = &loaded; *link != NULL;)
	{
		LoadedRows *entry = *link;

		if (entry->subid == subid && event == SUBXACT_EVENT_ABORT_SUB)
		{
			*link = entry->next;
			continue;
		}
		if (entry->subid == subid && event == SUBXACT_EVENT_COMMIT_SUB)
			entry->subid = parent;
		link = &entry->next;
	}
}

static LoadedRows *
entry_of(Oid table)
{
	static bool is_registered = false;
	SubTransactionId subid = GetCurrentSubTransactionId();
	LoadedRows *entry;

	if (!is_registered)
		RegisterSubXactCallback(at_savepoint_end, NULL);
	is_registered = true;
	if (loaded_in != compat_local_xid())
		loaded = NULL;
	loaded_in = compat_local_xid();
	for (entry = loaded; entry != NULL; entry = entry->next)
	{
		if (entry->table == table && entry->subid == subid)
			return entry;
	}
	mark_store();
	entry = MemoryContextAllocZero(TopTransactionContext, sizeof(LoadedRows));
	entry->table = table;
	entry->subid = subid;
	entry->next = loaded;
	loaded = entry;
	return entry;
}

void
insider_note_loaded(Relation table)
{
	entry_of(RelationGetRelid(table))->rows++;
}

void
insider_note_loaded_event(Relation table, int64 audit_id)
{
	LoadedRows *entry = entry_of(RelationGetRelid(table));

	entry->rows++;
	entry->highest = Max(entry->highest, audit_id);
}

int64
insider_highest_loaded(void)
{
	int64		highest = 1;

	for (LoadedRows *entry = loaded; entry != NULL; entry = entry->next)
		highest = Max(highest, entry->highest);
	return highest;
}

bool
insider_has_loaded(void)
{
	return loaded != NULL && loaded_in == compat_local_xid();
}

static int64
rows_of(Oid table)
{
	int64		rows = 0;

	for (LoadedRows *entry = loaded; entry != NULL; entry = entry->next)
		rows += entry->table == table ? entry->rows : 0;
	return rows;
}

static bool
comes_again(const LoadedRows *of)
{
	for (LoadedRows *entry = of->next; entry != NULL; entry = entry->next)
	{
		if (entry->table == of->table)
			return true;
	}
	return false;
}

void
insider_collect_loaded(void)
{
	StringInfoData payload;
	const char *separator = "";

	/*
	 * A subscription applies one transaction after the other, so it gets no event for each.  The
	 * change of admin_ext.restoring is an event already.
	 */
	if (!insider_has_loaded() || IsLogicalWorker())
		return;
	initStringInfo(&payload);
	appendStringInfo(&payload, "{\"setting\":\"admin_ext.restoring\",\"value\":\"%s\",\"loaded\":{",
					 admin_restoring ? "on" : "off");
	for (LoadedRows *entry = loaded; entry != NULL; entry = entry->next)
	{
		const char *name = get_rel_name(entry->table);

		if (comes_again(entry) || name == NULL)
			continue;
		appendStringInfoString(&payload, separator);
		append_json_cstring(&payload, row_table_name(get_rel_namespace(entry->table), name));
		appendStringInfo(&payload, ":" INT64_FORMAT, rows_of(entry->table));
		separator = ",";
	}
	appendStringInfoString(&payload, "}}");
	insider_collect("setting.changed", payload.data);
	loaded = NULL;
	loaded_in = InvalidLocalTransactionId;
}

/*
 * Collects the events that a load has left in a partition so far, including those added while this
 * session waited for the lock.  The limit is for a partition that a user has filled.
 */
static void
collect_events_of(Oid month)
{
	OwnerScope	scope;
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "select a.event_type, a.payload::text from only %s as a "
					 "where a.event_type in ('setting.changed', 'guard.changed') order by a.audit_id limit 10000",
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(month)), get_rel_name(month)));
	owner_enter(&scope, admin_relations()->audit);
	if (SPI_execute(query.data, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the events of a month");
	for (uint64 i = 0; i < SPI_processed; i++)
		insider_collect(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
						SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));
	owner_leave(&scope);
}

/* Takes the same lock as the command, so that no other session adds an event in between. */
static Oid
lock_month(RangeVar *name)
{
	Oid			month = RangeVarGetRelid(name, NoLock, true);

	if (!OidIsValid(month) || !audit_is_trail(month) || get_rel_relkind(month) != RELKIND_RELATION ||
		pg_class_aclcheck(month, GetUserId(), ACL_TRUNCATE) != ACLCHECK_OK)
		return InvalidOid;
	return RangeVarGetRelid(name, AccessExclusiveLock, true);
}

/*
 * pg_restore in several sessions truncates each month before it loads it, and another session may
 * have left its events there.  They are appended again when the transaction commits.
 */
void
insider_keep_events(const TruncateStmt *statement)
{
	ListCell   *cell;

	if (!admin_restoring || !admin_relations_exist())
		return;
	foreach(cell, statement->relations)
	{
		Oid			month = lock_month(lfirst_node(RangeVar, cell));

		if (OidIsValid(month))
			collect_events_of(month);
	}
}

void
insider_refuse_while_restoring(const char *function)
{
	if (admin_restoring)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s cannot run while admin_ext.restoring is on", function),
				 errdetail("While the setting is on, changes are not recorded in the audit trail."),
				 errhint("Reset admin_ext.restoring, which is for the session that loads a logical dump, and call the function in a new session.")));
}

Datum
admin_refuse_while_restoring(PG_FUNCTION_ARGS)
{
	insider_refuse_while_restoring(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}
