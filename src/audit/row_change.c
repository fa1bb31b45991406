/*
 * row_change.c
 *	  The trigger that turns a row's change into an audit event.
 *
 * It is an AFTER trigger, because the row's lock is held by then.  So the audit ids of one
 * approval's changes are drawn in the order in which the changes commit.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/audit_actor.h"
#include "audit/audit_append.h"
#include "audit/evidence.h"
#include "audit/insider_own.h"
#include "audit/insider_restoring.h"
#include "audit/row_json.h"
#include "audit/row_pins.h"
#include "json_text.h"
#include "layout.h"
#include "relations.h"
#include "settings.h"
#include "store/approval.h"
#include "store/guard.h"
#include "store/signature_guard.h"
#include "store/signature_store.h"

PG_FUNCTION_INFO_V1(admin_audit_row_change);
PG_FUNCTION_INFO_V1(admin_bookkeeping);

/* The change at hand: both versions of the row, as far as there are both. */
typedef struct RowChange
{
	Relation	relation;
	TupleDesc	desc;
	const char *op;
	bool		has_old;
	bool		has_new;
	Datum	   *old_values;
	bool	   *old_nulls;
	Datum	   *new_values;
	bool	   *new_nulls;
} RowChange;

static void
deform_row(TupleDesc desc, HeapTuple tuple, Datum **values, bool **nulls)
{
	*values = palloc(desc->natts * sizeof(Datum));
	*nulls = palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(tuple, desc, *values, *nulls);
}

static void
read_change(TriggerData *trigger, RowChange *change)
{
	memset(change, 0, sizeof(*change));
	change->relation = trigger->tg_relation;
	change->desc = RelationGetDescr(trigger->tg_relation);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		change->op = "TRUNCATE";
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		change->op = "INSERT";
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		change->op = "UPDATE";
	else
		change->op = "DELETE";
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return;
	change->has_new = !TRIGGER_FIRED_BY_DELETE(trigger->tg_event);
	change->has_old = !TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	if (change->has_old)
		deform_row(change->desc, trigger->tg_trigtuple, &change->old_values, &change->old_nulls);
	if (change->has_new)
		deform_row(change->desc, change->has_old ? trigger->tg_newtuple : trigger->tg_trigtuple,
				   &change->new_values, &change->new_nulls);
}

/* Adds the user who wrote the row by hand, because the columns of such a row can name anyone. */
static void
append_hand(StringInfo out)
{
	appendStringInfoString(out, ",\"by\":");
	append_json_cstring(out, audit_actor());
	audit_append_login(out, ",");
}

/* Returns NULL if an UPDATE changed no column: then there is no event to record. */
static text *
row_change_payload(const RowChange *change, bool is_ours)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, "{\"op\":\"");
	appendStringInfoString(&out, change->op);
	appendStringInfoString(&out, "\",\"changed\":");
	if (!change->has_old || !change->has_new)
		appendStringInfoString(&out, "{}");
	else if (append_changed_json(&out, change->desc, change->old_values, change->old_nulls,
								 change->new_values, change->new_nulls) == 0)
		return NULL;
	appendStringInfoString(&out, ",\"row\":");
	if (change->has_new)
		append_row_json(&out, change->desc, change->new_values, change->new_nulls);
	else if (change->has_old)
		append_row_json(&out, change->desc, change->old_values, change->old_nulls);
	else
		appendStringInfoString(&out, "null");
	if (is_ours)
	{
		if (audit_evidence != NULL)
			append_evidence_json(&out, audit_evidence);
		else if (!insider_is_own())
			append_hand(&out);
	}
	else
	{
		appendStringInfoString(&out, ",\"relation\":");
		append_json_cstring(&out, row_table_name(RelationGetNamespace(change->relation),
												 RelationGetRelationName(change->relation)));
		audit_append_login(&out, ",");
	}
	appendStringInfoChar(&out, '}');
	return cstring_to_text_with_len(out.data, out.len);
}

static text *
new_text(const RowChange *change, int column)
{
	return change->new_nulls[column - 1] ? NULL : DatumGetTextPP(change->new_values[column - 1]);
}

static void
describe_approval(const RowChange *change, AuditEvent *event)
{
	text	   *state = new_text(change, APPROVAL_STATE);

	event->approval_id = new_text(change, APPROVAL_ID);
	if (!change->has_old)
	{
		event->event_type = "approval.issued";
		event->actor = new_text(change, APPROVAL_REQUESTED_BY);
	}
	else if (state == NULL || (!change->old_nulls[APPROVAL_STATE - 1] &&
							   datum_image_eq(change->old_values[APPROVAL_STATE - 1], PointerGetDatum(state), false, -1)))
	{
		event->event_type = "approval.altered";
		event->actor = cstring_to_text(audit_actor());
	}
	else
	{
		event->event_type = psprintf("approval.%s", text_to_cstring(state));
		if (approval_guard_signer() != NULL)
			event->actor = cstring_to_text(approval_guard_signer());
		else
			event->actor = new_text(change, APPROVAL_CLOSED_BY);
	}
}

static void
describe_row(const RowChange *change, AuditEvent *event)
{
	switch (change->op[0])
	{
		case 'I':
			event->event_type = "row.inserted";
			break;
		case 'U':
			event->event_type = "row.updated";
			break;
		case 'D':
			event->event_type = "row.deleted";
			break;
		default:
			event->event_type = "row.truncated";
	}
	event->actor = cstring_to_text(audit_actor());
}

static void
check_call(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(((TriggerData *) fcinfo->context)->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s has to be called as an AFTER trigger", name)));
}

/* The guards check the columns, too, unless a superuser has dropped them. */
static void
check_columns(Relation table)
{
	if (RelationGetRelid(table) == admin_relations()->approval)
		layout_check_exact(table, approval_types, APPROVAL_COLUMNS);
	else if (RelationGetRelid(table) == admin_relations()->signature)
		layout_check_exact(table, signature_types, SIGNATURE_COLUMNS);
}

static void
record_change(TriggerData *trigger)
{
	const AdminRelations *relations = admin_relations();
	Oid			relid = RelationGetRelid(trigger->tg_relation);
	RowChange	change;
	AuditEvent	event = {0};

	check_columns(trigger->tg_relation);
	read_change(trigger, &change);
	event.payload = row_change_payload(&change, relid == relations->approval || relid == relations->signature);
	if (event.payload == NULL)
		return;
	if (relid == relations->approval)
		describe_approval(&change, &event);
	else if (relid == relations->signature)
	{
		event.event_type = "signature.added";
		event.approval_id = new_text(&change, SIGNATURE_APPROVAL_ID);
		event.actor = new_text(&change, SIGNATURE_SIGNER);
	}
	else
		describe_row(&change, &event);
	event.recorded_at = event.occurred_at = GetCurrentTimestamp();
	event.audit_id = audit_draw_id();
	audit_append(&event);
}

/*
 * Does the change belong to a load?  Rows of a dump, and all changes of a subscription, already
 * have their history.  Rows that one of our functions writes do not belong to a load.
 */
static bool
is_loaded(const TriggerData *trigger)
{
	guard_check_subscription(trigger->tg_relation);
	if (!admin_restoring)
		return false;
	if (IsLogicalWorker())
		return true;
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return false;
	if (insider_is_own())
		insider_refuse_while_restoring("a function of admin_ext that adds rows");
	return true;
}

Datum
admin_audit_row_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const AdminRelations *relations = admin_relations();

	check_call(fcinfo, "audit_row_change");
	if (!is_loaded(trigger))
		record_change(trigger);
	/* The guards have noted the rows of their own tables. */
	else if (RelationGetRelid(trigger->tg_relation) != relations->approval &&
			 RelationGetRelid(trigger->tg_relation) != relations->signature)
		insider_note_loaded(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * Trigger of the extension's bookkeeping tables.  The extension's own changes leave no event.  A
 * change by hand does, because it may hide a row that was not delivered, or let a token be used
 * again.
 */
Datum
admin_bookkeeping(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	check_call(fcinfo, "bookkeeping");
	if (is_loaded(trigger))
		insider_note_loaded(trigger->tg_relation);
	else if (!insider_is_own())
		record_change(trigger);
	return PointerGetDatum(NULL);
}
