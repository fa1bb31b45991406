/*
 * action_policy.c
 *	  See action_policy.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "compat.h"
#include "layout.h"
#include "relations.h"
#include "settings.h"
#include "store/action_policy.h"

PG_FUNCTION_INFO_V1(admin_action_policy_violation);

/* Columns of admin.action_policy, in the order of the table. */
enum PolicyColumn
{
	POLICY_ACTION = 1,
	POLICY_REQUIRED_ROLES,
	POLICY_MAX_TTL,
	POLICY_RESOURCE_REQUIRED,
	POLICY_ADDED_AT,
	POLICY_ADDED_BY
};

static const Oid policy_types[] = {TEXTOID, TEXTARRAYOID, INTERVALOID, BOOLOID, TIMESTAMPTZOID, TEXTOID};
static const AttrNumber policy_key[] = {POLICY_ACTION};
static const TableLayout policy_layout = {policy_types, lengthof(policy_types), policy_key, 1, 1};

static void
read_policy_row(TupleTableSlot *row, ActionPolicy *policy)
{
	ArrayType  *array;
	Datum	   *roles;
	bool	   *nulls;
	int			count;

	slot_getallattrs(row);
	array = DatumGetArrayTypePCopy(layout_set_column(row, POLICY_REQUIRED_ROLES));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &roles, &nulls, &count);
	if (count > MAX_REQUIRED_SIGNERS)
		elog(ERROR, "policy of an action has %d roles", count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			elog(ERROR, "policy of an action has a role that is null");
		policy->roles[i] = policy_text_of(roles[i], false);
	}
	policy->exists = true;
	policy->role_count = count;
	policy->has_max_ttl = !row->tts_isnull[POLICY_MAX_TTL - 1];
	if (policy->has_max_ttl)
		policy->max_ttl = *DatumGetIntervalP(row->tts_values[POLICY_MAX_TTL - 1]);
	policy->resource_required = DatumGetBool(row->tts_values[POLICY_RESOURCE_REQUIRED - 1]);
	policy->added_at = DatumGetTimestampTz(row->tts_values[POLICY_ADDED_AT - 1]);
}

void
action_policy_read(PolicyText action, Snapshot snapshot, ActionPolicy *policy)
{
	Relation	table = admin_relation_open(&admin_relations()->action_policy, AccessShareLock);
	Relation	index = layout_open_index(&policy_layout, table, admin_relations()->action_policy_by_action);
	TupleTableSlot *row = table_slot_create(table, NULL);
	IndexScanDesc scan = compat_index_beginscan(table, index, snapshot, 1);
	text	   *name = cstring_to_text_with_len(action.data, action.length);
	ScanKeyData key;

	memset(policy, 0, sizeof(*policy));
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, TEXTOID,
						   index->rd_indcollation[0], F_TEXTEQ, PointerGetDatum(name));
	index_rescan(scan, &key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, row))
		read_policy_row(row, policy);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(row);
	index_close(index, NoLock);
	table_close(table, NoLock);
}

static bool
approval_requires_role(const ApprovalRow *approval, PolicyText role)
{
	for (int i = 0; i < approval->role_count; i++)
	{
		if (policy_texts_equal(approval->roles[i], role))
			return true;
	}
	return false;
}

/* Uses the calendar of UTC, so that the session's time zone does not move the limit. */
static TimestampTz
latest_deadline(const ActionPolicy *policy, TimestampTz created_at)
{
	TimestampTz now = GetCurrentTimestamp();

	return DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval,
												 TimestampGetDatum(Min(created_at, now)),
												 IntervalPGetDatum(&policy->max_ttl)));
}

char *
action_policy_lacks(const ActionPolicy *policy, const ApprovalRow *approval, TimestampTz created_at)
{
	StringInfoData out;

	if (!policy->exists)
		return NULL;
	initStringInfo(&out);
	for (int i = 0; i < policy->role_count; i++)
	{
		PolicyText	role = policy->roles[i];

		if (!approval_requires_role(approval, role))
			appendStringInfo(&out, " The role \"%s\" is missing in required_roles.", pnstrdup(role.data, role.length));
	}
	if (policy->has_max_ttl && approval->sla_deadline > latest_deadline(policy, created_at))
		appendStringInfo(&out, " The deadline is later than %s after it was created.",
						 DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(&policy->max_ttl))));
	if (policy->resource_required && approval->resource.data == NULL)
		appendStringInfoString(&out, " The resource is missing.");
	return out.len == 0 ? NULL : out.data + 1;
}

void
action_policy_check(const ApprovalRow *approval, TimestampTz created_at)
{
	ActionPolicy policy;
	Snapshot	snapshot;
	char	   *lacks;
	char	   *action;

	/* The error of the NOT NULL constraint names a missing column. */
	if (approval->action.data == NULL || approval->id.data == NULL)
		return;
	action = pnstrdup(approval->action.data, approval->action.length);
	/* As in approval_store_snapshot(). */
	(void) admin_relation_lock(&admin_relations()->action_policy, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	action_policy_read(approval->action, snapshot, &policy);
	UnregisterSnapshot(snapshot);
	if (!policy.exists && admin_require_action_policy)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("action \"%s\" has no policy", action),
				 errdetail("While admin_ext.require_action_policy is on, only actions with a policy can be approved."),
				 errhint("Set one with admin.set_action_policy().")));
	lacks = action_policy_lacks(&policy, approval, created_at);
	if (lacks != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("approval \"%s\" does not meet the policy of action \"%s\"",
						pnstrdup(approval->id.data, approval->id.length), action),
				 errdetail_internal("%s", lacks)));
}

/* (approval admin.approval): what it lacks by the policy of its action, or null. */
Datum
admin_action_policy_violation(PG_FUNCTION_ARGS)
{
	HeapTupleHeader header = PG_GETARG_HEAPTUPLEHEADER(0);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	ApprovalRow approval;
	ActionPolicy policy;
	bool		isnull;
	TimestampTz created_at;
	char	   *lacks;

	approval_row_from_tuple(&tuple, desc, &approval);
	created_at = DatumGetTimestampTz(heap_getattr(&tuple, APPROVAL_CREATED_AT, desc, &isnull));
	ReleaseTupleDesc(desc);
	if (approval.action.data == NULL || isnull)
		PG_RETURN_NULL();
	action_policy_read(approval.action, GetActiveSnapshot(), &policy);
	lacks = action_policy_lacks(&policy, &approval, created_at);
	if (lacks == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(lacks));
}
