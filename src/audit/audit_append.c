/*
 * audit_append.c
 *	  The one place where the extension writes to its trail.
 *
 * The row goes straight into its partition and that partition's indexes, without
 * planner, executor or trigger: a check has its row for less than a prepared INSERT.
 * What the table's constraints and triggers would say holds by construction.
 * Locks: RowExclusiveLock on parent and partition, to the end of the transaction.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "audit/audit_append.h"
#include "audit/row_writer.h"
#include "relations.h"

struct AuditWriter
{
	Relation	parent;
	RowWriter	rows;			/* of the partition */
};

void		(*audit_appended_hook) (void) = NULL;

int64
audit_draw_id(void)
{
	const AdminRelations *relations = admin_relations();

	/* The table first: who has it locked against writers finds no number drawn and not yet used. */
	LockRelationOid(relations->audit, RowExclusiveLock);
	/* Whoever may call the function that records need not own the sequence. */
	return nextval_internal(relations->audit_sequence, false);
}

/* The partition for an instant: its month's, else the default one, which the extension owns. */
static Oid
route(Relation parent, TimestampTz recorded_at)
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
	if (part < 0 || !desc->is_leaf[part])
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("admin.audit has no partition to take a row"),
				 errhint("Attach admin.audit_default again as its default partition.")));
	return desc->oids[part];
}

/*
 * A partition made elsewhere could have its columns in another order, or be no table of
 * this server: refuse it, never misplace a row.
 */
void
audit_check_layout(Relation parent, Relation partition)
{
	TupleDesc	a = RelationGetDescr(parent);
	TupleDesc	b = RelationGetDescr(partition);
	bool		same = a->natts == AUDIT_COLUMNS && b->natts == AUDIT_COLUMNS &&
		partition->rd_rel->relkind == RELKIND_RELATION;

	for (int i = 0; i < a->natts && same; i++)
		same = namestrcmp(&TupleDescAttr(a, i)->attname,
						  NameStr(TupleDescAttr(b, i)->attname)) == 0;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" of admin.audit cannot take a row",
						RelationGetRelationName(partition)),
				 errdetail("A partition has to be an ordinary table with the %d columns of the trail, in their order.",
						   AUDIT_COLUMNS),
				 errhint("Make partitions with admin.create_audit_partitions().")));
}

static void
set_text(TupleTableSlot *slot, int column, const text *value)
{
	slot->tts_values[column - 1] = PointerGetDatum(value);
	slot->tts_isnull[column - 1] = value == NULL;
}

static void
fill(TupleTableSlot *slot, const AuditEvent *event)
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

AuditWriter *
audit_writer_open(TimestampTz recorded_at)
{
	AuditWriter *writer = palloc(sizeof(AuditWriter));
	Relation	partition;

	writer->parent = table_open(admin_relations()->audit, RowExclusiveLock);
	partition = table_open(route(writer->parent, recorded_at), RowExclusiveLock);
	audit_check_layout(writer->parent, partition);
	row_writer_open(&writer->rows, partition);
	return writer;
}

Oid
audit_writer_partition(const AuditWriter *writer)
{
	return RelationGetRelid(writer->rows.table);
}

void
audit_writer_append(AuditWriter *writer, const AuditEvent *event)
{
	fill(writer->rows.slot, event);
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
