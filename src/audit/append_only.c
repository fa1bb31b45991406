/*
 * append_only.c
 *	  Trigger of the trail and its partitions: rows are only ever added, and only
 *	  under the transaction that adds them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "storage/proc.h"
#include "utils/rel.h"
#include "utils/xid8.h"

#include "audit/audit_append.h"
#include "compat.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(admin_audit_append_only);

/*
 * Delivery reads the trail by xid: a row under another transaction's number would
 * be delivered early, late or never.
 */
static void
check_xid(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		xid = heap_getattr(tuple, AUDIT_XID, desc, &isnull);

	if (isnull || !FullTransactionIdEquals(DatumGetFullTransactionId(xid),
										   GetTopFullTransactionId()))
		ereport(ERROR,
				(errcode(ERRCODE_RESTRICT_VIOLATION),
				 errmsg("column \"xid\" of the audit trail is set by its default and by nobody else"),
				 errhint("To load a logical dump, set admin_ext.restoring to on in the loading session.")));
}

/*
 * Rows of another copy are being loaded: delivery waits until an operator has said
 * where it goes on.  Once per transaction.
 */
static void
mark_loaded(void)
{
	static LocalTransactionId marked = InvalidLocalTransactionId;

	if (marked == compat_local_xid())
		return;
	SPI_connect();
	if (SPI_execute("update admin.store set adopted_at = null where adopted_at is not null", false, 0) < 0)
		elog(ERROR, "could not mark the store as loaded");
	SPI_finish();
	marked = compat_local_xid();
}

Datum
admin_audit_append_only(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "audit_append_only was not called as a trigger");
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_RESTRICT_VIOLATION),
				 errmsg("the audit trail is append-only"),
				 errdetail("UPDATE, DELETE and TRUNCATE of \"%s\" are refused for everybody.",
						   RelationGetRelationName(trigger->tg_relation)),
				 errhint("Free space with admin.drop_audit_partitions().")));
	if (admin_restoring)
		mark_loaded();
	else
		check_xid(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation));
	if (audit_appended_hook)
		audit_appended_hook();
	return PointerGetDatum(trigger->tg_trigtuple);
}
