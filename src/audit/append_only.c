/*
 * append_only.c
 *	  Triggers of the trail and its partitions, and of the attributes of its rows: the extension
 *	  adds rows, and no statement changes or removes them.
 *
 * The extension's own appends bypass the executor and fire no trigger.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "utils/rel.h"

#include "audit/audit_append.h"
#include "audit/insider_restoring.h"
#include "relations.h"
#include "store/guard.h"

PG_FUNCTION_INFO_V1(admin_audit_append_only);
PG_FUNCTION_INFO_V1(admin_audit_attributes_insert);

static void
refuse_insert(Relation table)
{
	ereport(ERROR,
			(errcode(ERRCODE_RESTRICT_VIOLATION),
			 errmsg("INSERT into \"%s\" by hand is refused", RelationGetRelationName(table)),
			 errdetail("Only the extension writes rows of the audit trail."),
			 errhint("To load a dump into a copy of the database, set admin_ext.restoring to on. The copy delivers nothing until admin.resync_sink() is called.")));
}

/* Returns 0 for a null: the NOT NULL constraint then raises the error that names the column. */
static int64
audit_id_of(const TriggerData *trigger)
{
	bool		isnull;
	Datum		audit_id = heap_getattr(trigger->tg_trigtuple, AUDIT_ID,
										RelationGetDescr(trigger->tg_relation), &isnull);

	return isnull ? 0 : DatumGetInt64(audit_id);
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
				 TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? 0 : errhint("Free space with admin.drop_audit_partitions().")));
	/* The extension's own row: audit_append.c made it, and compares it with what is inserted. */
	if (audit_is_appending())
		return PointerGetDatum(trigger->tg_trigtuple);
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
	{
		/*
		 * A detached partition keeps this statement trigger and loses the row trigger, which
		 * otherwise judges each row.
		 */
		if (RelationGetRelid(trigger->tg_relation) != admin_relations()->audit &&
			!trigger->tg_relation->rd_rel->relispartition && !guard_is_restoring(trigger))
			refuse_insert(trigger->tg_relation);
		return PointerGetDatum(NULL);
	}
	guard_check_call(fcinfo, "admin.audit_append_only()", admin_relations()->audit, audit_types, AUDIT_COLUMNS);
	if (!guard_is_restoring(trigger))
		refuse_insert(trigger->tg_relation);
	insider_note_loaded_event(trigger->tg_relation, audit_id_of(trigger));
	if (audit_appended_hook)
		audit_appended_hook();
	return PointerGetDatum(trigger->tg_trigtuple);
}

/* The same for audit_attributes, a table of the trail without columns that a user could forge. */
Datum
admin_audit_attributes_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("admin_internal.audit_attributes_insert() was not called as the trigger it is made for")));
	if (!audit_is_appending())
	{
		if (!guard_is_restoring(trigger))
			refuse_insert(trigger->tg_relation);
		insider_note_loaded(trigger->tg_relation);
	}
	return PointerGetDatum(trigger->tg_trigtuple);
}
