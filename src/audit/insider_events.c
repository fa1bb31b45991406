/*
 * insider_events.c
 *	  Collects events about the trail during a transaction, and appends them before it commits.
 *
 * At the end, not at once: a command may have left the trail unable to take a row for as long as
 * the transaction runs, and a dump attaches the months after other commands.  Memory: the events
 * live in TopMemoryContext until the transaction ends.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/parallel.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "audit/audit_append.h"
#include "audit/audit_event.h"
#include "audit/insider.h"
#include "owner.h"
#include "relations.h"
#include "settings.h"

typedef struct CollectedEvent
{
	SubTransactionId subid;
	const char *event_type;
	char	   *payload;
} CollectedEvent;

static List *collected = NIL;

void
insider_collect(const char *event_type, const char *payload)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	CollectedEvent *event = palloc(sizeof(CollectedEvent));

	event->subid = GetCurrentSubTransactionId();
	event->event_type = event_type;
	event->payload = pstrdup(payload);
	collected = lappend(collected, event);
	MemoryContextSwitchTo(old);
}

void
insider_log(const char *message)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("log_min_messages", "log", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	ereport(LOG,
			(errmsg("admin_ext: %s", message),
			 errhidestmt(true)));
	AtEOXact_GUC(true, level);
}

static void
forget(CollectedEvent *event)
{
	pfree(event->payload);
	pfree(event);
}

static void
forget_all(void)
{
	ListCell   *cell;

	foreach(cell, collected)
		forget(lfirst(cell));
	list_free(collected);
	collected = NIL;
}

bool
insider_trail_can_take(void)
{
	return !RecoveryInProgress() && !XactReadOnly && !IsParallelWorker() && !IsInParallelMode() &&
		OidIsValid(get_extension_oid("admin_ext", true)) && admin_relations_exist() && audit_can_append();
}

static bool
has_rows(Relation trail)
{
	PartitionDesc partitions = RelationGetPartitionDesc(trail, true);
	bool		found = false;

	for (int i = 0; !found && i < partitions->nparts; i++)
	{
		Relation	partition = table_open(partitions->oids[i], AccessShareLock);

		found = RelationGetNumberOfBlocks(partition) > 0;
		table_close(partition, NoLock);
	}
	return found;
}

static bool
number_was_drawn(void)
{
	static OwnerQuery query = {
		.text = "select from admin.audit_audit_id_seq as s where s.is_called",
		.result = SPI_OK_SELECT
	};

	return owner_finds(&query, admin_relations()->audit);
}

bool
insider_trail_is_fresh(void)
{
	Relation	trail = table_open(admin_relations()->audit, AccessShareLock);
	bool		is_fresh = !has_rows(trail);

	table_close(trail, NoLock);
	return is_fresh && !number_was_drawn();
}

/*
 * A dump sets the sequence after it has brought the rows, so that a number drawn before could be
 * that of a row to come.  Such numbers begin at the microseconds since 1970: no trail has drawn a
 * million numbers a second since it began, and a later load begins above an earlier one.
 */
static void
draw_above_what_is_loaded(void)
{
	static OwnerQuery query = {
		.text =
		"select setval('admin.audit_audit_id_seq', greatest($1, case when not s.is_called "
		"then (extract(epoch from clock_timestamp()) * 1000000)::bigint end)) "
		"from admin.audit_audit_id_seq as s where s.last_value < $1 or not s.is_called",
		.nargs = 1,
		.types = {INT8OID},
		.result = SPI_OK_SELECT
	};
	Datum		highest[] = {Int64GetDatum(insider_highest_loaded())};
	OwnerScope	scope;

	/* One at a time where a dump is loaded by several sessions; who draws meanwhile is not in the way. */
	LockRelationOid(admin_relations()->audit_sequence, ShareUpdateExclusiveLock);
	owner_enter(&scope, admin_relations()->audit);
	(void) owner_run(&query, highest, NULL, 0);
	owner_leave(&scope);
	/* setval() is no part of the transaction, which may hold a month that others wait for. */
	UnlockRelationOid(admin_relations()->audit_sequence, ShareUpdateExclusiveLock);
}

static void
append_collected(void)
{
	ListCell   *cell;

	foreach(cell, collected)
	{
		const CollectedEvent *event = lfirst(cell);

		(void) audit_append_event(event->event_type, NULL, cstring_to_text(event->payload));
	}
}

void
insider_append_now(const char *event_type, const char *payload)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) audit_append_event(event_type, NULL, cstring_to_text(payload));
	PopActiveSnapshot();
}

static void
before_commit(void)
{
	bool		was_read_only = XactReadOnly;

	if (collected == NIL && !insider_has_loaded() && !insider_has_settings())
		return;
	/* A transaction that has written and is set to read-only afterwards keeps its events. */
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		XactReadOnly = false;
	PushActiveSnapshot(GetTransactionSnapshot());
	if (insider_trail_can_take())
	{
		/*
		 * What brings a dump attaches months first, and no row may be in the default partition then.
		 * Later several sessions make their indexes, and each would wait for the month of the other.
		 */
		bool		is_too_early = admin_restoring && !insider_has_loaded() && !insider_store_is_adopted();

		if (!is_too_early)
			insider_collect_settings(true);
		/* Rows may still come: the schema, with its grants, can be loaded long before the data. */
		if (insider_has_loaded() || (admin_restoring && (!is_too_early || collected != NIL)))
			draw_above_what_is_loaded();
		insider_collect_loaded();
		if (!is_too_early)
			insider_collect_settings(false);
		append_collected();
	}
	else if (collected != NIL)
		ereport(WARNING,
				(errmsg("the audit trail cannot take the %d events of this transaction", list_length(collected)),
				 errdetail("They are in the server's log alone.")));
	PopActiveSnapshot();
	XactReadOnly = was_read_only;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			before_commit();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			forget_all();
			insider_own_reset();
			insider_settings_end(event != XACT_EVENT_ABORT);
			break;
		default:
			break;
	}
}

static void
at_savepoint_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	ListCell   *cell;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(cell, collected)
	{
		CollectedEvent *collection = lfirst(cell);

		if (collection->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			collection->subid = parent;
		else
		{
			forget(collection);
			collected = foreach_delete_current(collected, cell);
		}
	}
}

void
insider_init(void)
{
	insider_own_init();
	insider_ddl_init();
	insider_catalog_init();
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_savepoint_end, NULL);
}
