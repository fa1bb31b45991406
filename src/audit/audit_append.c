/*
 * audit_append.c
 *	  The one place where the extension writes to its trail.
 *
 * The extension writes the row directly into its partition and that partition's indexes, without
 * planner, executor or trigger.  So a check writes its row at a lower cost than a prepared INSERT.
 * The row satisfies the extension's own constraints and trigger by construction.  If a user has
 * added constraints or triggers, row_writer.c runs an INSERT instead.  Locks: RowExclusiveLock on
 * parent and partition, to the end of the transaction.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/primnodes.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "audit/audit_append.h"
#include "audit/audit_number.h"
#include "audit/row_writer.h"
#include "layout.h"
#include "relations.h"

struct AuditWriter
{
	Relation	parent;
	RowWriter	rows;			/* of the partition */
};

void		(*audit_appended_hook) (void) = NULL;

/* The trigger depth at which our own INSERT runs; -1 if it does not run. */
static int	appending_at_depth = -1;

static int
trigger_depth(void)
{
	return DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH));
}

bool
audit_is_appending(void)
{
	/*
	 * A trigger that fires for our row runs one level deeper.  If that trigger runs an INSERT, the
	 * triggers of the INSERT run two levels deeper.
	 */
	return appending_at_depth >= 0 && trigger_depth() == appending_at_depth + 1;
}

int64
audit_draw_id(void)
{
	/*
	 * Lock the table first.  A session that has locked it against writers can then rely on every
	 * drawn number being used.
	 */
	(void) admin_relation_lock(&admin_relations()->audit, RowExclusiveLock);
	return audit_number_draw();
}

/*
 * The partition for an instant: that of its month, else the default partition.  InvalidOid if there
 * is no such leaf.
 */
static Oid
find_partition(Relation parent, TimestampTz recorded_at)
{
	PartitionKey key = RelationGetPartitionKey(parent);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	Datum		value = TimestampTzGetDatum(recorded_at);
	bool		is_equal;
	int			bound;
	int			part = -1;

	if (desc->nparts > 0)
	{
		bound = partition_range_datum_bsearch(key->partsupfunc, key->partcollation,
											  desc->boundinfo, 1, &value, &is_equal);
		part = desc->boundinfo->indexes[bound + 1];
		if (part < 0)
			part = desc->boundinfo->default_index;
	}
	return part < 0 || !desc->is_leaf[part] ? InvalidOid : desc->oids[part];
}

static Oid
route_to_partition(Relation parent, TimestampTz recorded_at)
{
	Oid			partition = find_partition(parent, recorded_at);

	if (!OidIsValid(partition))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("admin.audit has no partition to take a row"),
				 errhint("Attach admin.audit_default again as its default partition.")));
	return partition;
}

bool
audit_can_append(void)
{
	Relation	parent = table_open(admin_relations()->audit, AccessShareLock);
	Oid			oid = parent->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? find_partition(parent, GetCurrentTimestamp()) : InvalidOid;

	/* Take no lock here: another session may be waiting for a lock that this transaction holds. */
	Relation	partition = OidIsValid(oid) ? RelationIdGetRelation(oid) : NULL;
	bool		can = partition != NULL && audit_has_layout(parent, partition);

	if (partition != NULL)
		RelationClose(partition);
	table_close(parent, NoLock);
	return can;
}

static void
set_text(TupleTableSlot *slot, int column, const text *value)
{
	slot->tts_values[column - 1] = PointerGetDatum(value);
	slot->tts_isnull[column - 1] = value == NULL;
}

static void
fill_audit_row(TupleTableSlot *slot, const AuditEvent *event)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, AUDIT_COLUMNS * sizeof(bool));
	slot->tts_values[AUDIT_ID - 1] = Int64GetDatum(event->audit_id);
	slot->tts_values[AUDIT_XID - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	slot->tts_values[AUDIT_RECORDED_AT - 1] = TimestampTzGetDatum(event->recorded_at);
	slot->tts_values[AUDIT_OCCURRED_AT - 1] = TimestampTzGetDatum(event->occurred_at);
	slot->tts_values[AUDIT_EVENT_TYPE - 1] = CStringGetTextDatum(event->event_type);
	set_text(slot, AUDIT_APPROVAL_ID, event->approval_id);
	set_text(slot, AUDIT_ACTOR, event->actor);
	set_text(slot, AUDIT_SOURCE, event->source ? event->source : cstring_to_text(AUDIT_OWN_SOURCE));
	set_text(slot, AUDIT_SOURCE_EVENT_ID, event->source_event_id);
	set_text(slot, AUDIT_REQUEST_ID, event->request_id);
	set_text(slot, AUDIT_TRACEPARENT, event->traceparent);
	set_text(slot, AUDIT_PAYLOAD, event->payload);
}

/* isfinite(recorded_at), isfinite(occurred_at) */
static bool
audit_check_holds(const Node *check)
{
	const FuncExpr *call = (const FuncExpr *) check;

	return IsA(check, FuncExpr) && call->funcid == F_ISFINITE_TIMESTAMPTZ && IsA(linitial(call->args), Var);
}

AuditWriter *
audit_writer_open(TimestampTz recorded_at)
{
	static OwnerQuery insert = {
		.text = "insert into admin.audit (" AUDIT_COLUMN_NAMES ") overriding system value "
		"values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning " AUDIT_COLUMN_NAMES,
		.nargs = AUDIT_COLUMNS,
		.types = {AUDIT_COLUMN_TYPES},
		.result = SPI_OK_INSERT_RETURNING
	};
	static const RowTable kind = {audit_check_layout, audit_check_holds, "admin", "audit_append_only"};
	AuditWriter *writer = palloc(sizeof(AuditWriter));
	Relation	partition;

	writer->parent = admin_relation_open(&admin_relations()->audit, RowExclusiveLock);
	partition = table_open(route_to_partition(writer->parent, recorded_at), RowExclusiveLock);
	row_writer_open(&writer->rows, writer->parent, partition, &kind, &insert);
	return writer;
}

Oid
audit_writer_partition(const AuditWriter *writer)
{
	return RelationGetRelid(writer->rows.table);
}

/* Triggers run here.  The trail's own trigger must accept this row. */
void
audit_insert_by_statement(RowWriter *rows)
{
	int			before = appending_at_depth;

	appending_at_depth = trigger_depth();
	PG_TRY();
	{
		row_writer_insert(rows);
	}
	PG_FINALLY();
	{
		appending_at_depth = before;
	}
	PG_END_TRY();
}

void
audit_writer_append(AuditWriter *writer, const AuditEvent *event)
{
	fill_audit_row(writer->rows.slot, event);
	if (row_writer_needs_statement(&writer->rows))
		audit_insert_by_statement(&writer->rows);
	else
		row_writer_insert(&writer->rows);
	if (audit_appended_hook)
		audit_appended_hook();
}

void
audit_writer_close(AuditWriter *writer)
{
	row_writer_close(&writer->rows);
	table_close(writer->rows.table, NoLock);
	table_close(writer->parent, NoLock);
	pfree(writer);
}

void
audit_append(const AuditEvent *event)
{
	AuditWriter *writer = audit_writer_open(event->recorded_at);

	audit_writer_append(writer, event);
	audit_writer_close(writer);
}
