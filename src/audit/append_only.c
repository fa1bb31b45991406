/*
 * append_only.c
 *	  Trigger of the trail and its partitions: rows are only ever added, and only
 *	  under the transaction that adds them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/xid8.h"

#include "audit/audit_append.h"
#include "compat.h"
#include "relations.h"
#include "store/guard.h"

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
				 errdetail("It is the transaction that adds the row."),
				 errhint("To load a logical dump, set admin_ext.restoring to on in the loading session.")));
}

/*
 * A number out of turn would stand in the way of one to come, or below a floor that
 * delivery has passed.  The identity has just drawn it in this session.
 */
static void
check_audit_id(HeapTuple tuple, Relation relation)
{
	bool		isnull;
	Datum		audit_id = heap_getattr(tuple, AUDIT_ID, RelationGetDescr(relation), &isnull);
	Oid			user;
	int			security;
	int64		drawn;

	/* NOT NULL names what is missing. */
	if (isnull)
		return;
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(relation->rd_rel->relowner, security | SECURITY_LOCAL_USERID_CHANGE);
	drawn = DatumGetInt64(DirectFunctionCall1(currval_oid,
											  ObjectIdGetDatum(admin_relations()->audit_sequence)));
	SetUserIdAndSecContext(user, security);
	if (DatumGetInt64(audit_id) != drawn)
		ereport(ERROR,
				(errcode(ERRCODE_RESTRICT_VIOLATION),
				 errmsg("column \"audit_id\" of the audit trail is drawn from its identity and by nobody else"),
				 errdetail("Its value is " INT64_FORMAT ", drawn was " INT64_FORMAT ".",
						   DatumGetInt64(audit_id), drawn),
				 errhint("To load a logical dump, set admin_ext.restoring to on in the loading session.")));
}

/*
 * Rows of another copy are being loaded: delivery waits until an operator has said
 * where it goes on.  Once per subtransaction, for one that is rolled back takes the
 * mark with it.
 */
static void
mark_loaded(void)
{
	static LocalTransactionId marked = InvalidLocalTransactionId;
	static SubTransactionId marked_in = InvalidSubTransactionId;

	if (marked == compat_local_xid() && marked_in == GetCurrentSubTransactionId())
		return;
	SPI_connect();
	if (SPI_execute("update admin.store set adopted_at = null where adopted_at is not null", false, 0) < 0)
		elog(ERROR, "could not mark the store as loaded");
	SPI_finish();
	marked = compat_local_xid();
	marked_in = GetCurrentSubTransactionId();
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
	/* The extension's own row: audit_append.c made it, and compares it with what is inserted. */
	if (audit_is_appending())
		return PointerGetDatum(trigger->tg_trigtuple);
	guard_check_call(fcinfo, "admin.audit_append_only()", admin_relations()->audit, AUDIT_COLUMNS);
	if (guard_is_restoring(trigger))
		mark_loaded();
	else
	{
		check_xid(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation));
		check_audit_id(trigger->tg_trigtuple, trigger->tg_relation);
	}
	if (audit_appended_hook)
		audit_appended_hook();
	return PointerGetDatum(trigger->tg_trigtuple);
}
