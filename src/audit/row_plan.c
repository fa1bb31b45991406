/*
 * row_plan.c
 *	  See row_plan.h.
 *
 * A plan is made once per table and kept, because reading index predicates and triggers costs
 * more than adding a row.  An invalidation of the table, of the table that an INSERT names or of
 * an index discards it.  The caller's lock keeps all of them as they are, except for what the
 * CONCURRENTLY commands do.  Those wait for transactions that hold such a lock.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "nodes/primnodes.h"
#include "rewrite/prs2lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "audit/row_plan.h"
#include "compat.h"
#include "relations.h"

/* This month's partition, the default one, audit_attributes; one more at the turn of a month. */
#define KEPT_PLANS		4

static RowPlan kept[KEPT_PLANS];
static int	next_place = 0;
static uint64 invalidations = 0;

static bool
plan_concerns(const RowPlan *plan, Oid relid)
{
	if (relid == InvalidOid || relid == plan->table || relid == plan->through)
		return true;
	for (int i = 0; i < plan->index_count; i++)
	{
		if (plan->indexes[i].oid == relid)
			return true;
	}
	return false;
}

static void
discard_plans(Datum arg, Oid relid)
{
	invalidations++;
	for (int i = 0; i < KEPT_PLANS; i++)
	{
		if (OidIsValid(kept[i].table) && plan_concerns(&kept[i], relid))
			kept[i].table = InvalidOid;
	}
}

static bool
read_text_equality(const OpExpr *test, RowIndex *result)
{
	const Var  *column = (const Var *) linitial(test->args);
	const Const *value = (const Const *) lsecond(test->args);
	const text *wanted;

	/* Both collations are deterministic: texts are equal if their bytes are. */
	if (test->opfuncid != F_TEXTEQ || !IsA(column, Var) || !IsA(value, Const) || value->constisnull ||
		(test->inputcollid != DEFAULT_COLLATION_OID && test->inputcollid != C_COLLATION_OID))
		return false;
	wanted = DatumGetTextPP(value->constvalue);
	if (VARSIZE_ANY_EXHDR(wanted) > ROW_PLAN_TEXT_BYTES)
		return false;
	result->text_column = column->varattno;
	result->text_length = VARSIZE_ANY_EXHDR(wanted);
	memcpy(result->text, VARDATA_ANY(wanted), result->text_length);
	return true;
}

bool
row_plan_read_predicate(Relation index, RowIndex *result)
{
	List	   *predicate = RelationGetIndexPredicate(index);
	Node	   *test;

	result->set_column = result->text_column = 0;
	if (predicate == NIL)
		return true;
	test = linitial(predicate);
	if (list_length(predicate) != 1)
		return false;
	if (IsA(test, NullTest) && ((NullTest *) test)->nulltesttype == IS_NOT_NULL && IsA(((NullTest *) test)->arg, Var))
	{
		result->set_column = ((Var *) ((NullTest *) test)->arg)->varattno;
		return true;
	}
	return IsA(test, OpExpr) && list_length(((OpExpr *) test)->args) == 2 &&
		read_text_equality((OpExpr *) test, result);
}

/* False unless it is a btree on plain columns and checks uniqueness, if any, immediately. */
static bool
read_index(Relation index, RowIndex *result)
{
	Form_pg_index form = index->rd_index;

	result->oid = RelationGetRelid(index);
	result->is_unique = form->indisunique;
	result->key_count = form->indnatts;
	if (index->rd_rel->relam != BTREE_AM_OID || !form->indimmediate || form->indisexclusion ||
		form->indnatts != form->indnkeyatts || form->indnatts > ROW_PLAN_KEYS)
		return false;
	for (int i = 0; i < form->indnatts; i++)
	{
		if (form->indkey.values[i] <= 0)
			return false;
		result->keys[i] = form->indkey.values[i];
	}
	return row_plan_read_predicate(index, result);
}

static bool
read_indexes(Relation table, RowPlan *plan)
{
	List	   *oids = RelationGetIndexList(table);
	ListCell   *cell;

	if (list_length(oids) > ROW_PLAN_INDEXES)
		return false;
	foreach(cell, oids)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		/* Until the index is ready, the session that builds it adds our row. */
		bool		is_ready = index->rd_index->indisready;
		bool		is_known = !is_ready || read_index(index, &plan->indexes[plan->index_count]);

		index_close(index, NoLock);
		if (!is_known)
			return false;
		plan->index_count += is_ready;
	}
	list_free(oids);
	return true;
}

/* Does an INSERT fire a trigger, besides the extension's own guard? */
static bool
has_foreign_trigger(Relation relation, Oid guard)
{
	const TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_INSERT(trigger->tgtype) && trigger->tgenabled != TRIGGER_DISABLED &&
			(!OidIsValid(guard) || trigger->tgfoid != guard))
			return true;
	}
	return false;
}

static bool
has_foreign_constraint(Relation table, const RowTable *kind)
{
	const TupleConstr *constr = RelationGetDescr(table)->constr;

	if (constr == NULL)
		return false;
	if (compat_has_generated(constr))
		return true;
	for (int i = 0; i < constr->num_check; i++)
	{
		if (!kind->check_holds(stringToNode(constr->check[i].ccbin)))
			return true;
	}
	return false;
}

static void
make_plan(Relation through, Relation table, const RowTable *kind, RowPlan *plan)
{
	TupleDesc	desc = RelationGetDescr(table);
	Oid			guard = kind->guard == NULL ? InvalidOid : admin_function(kind->guard_schema, kind->guard);

	memset(plan, 0, sizeof(*plan));
	plan->table = RelationGetRelid(table);
	plan->through = RelationGetRelid(through);
	kind->check_layout(through, table);
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attnotnull)
			plan->not_null |= (uint32) 1 << i;
	}
	plan->is_plain = !has_foreign_trigger(table, guard) && !has_foreign_trigger(through, guard) &&
		!has_foreign_constraint(table, kind) &&
		through->rd_rules == NULL && !through->rd_rel->relrowsecurity && !table->rd_rel->relrowsecurity &&
		read_indexes(table, plan);
}

static const RowPlan *
keep_plan(const RowPlan *plan)
{
	RowPlan    *place = &kept[next_place];

	next_place = (next_place + 1) % KEPT_PLANS;
	*place = *plan;
	return place;
}

static const RowPlan *
make_kept_plan(Relation through, Relation table, const RowTable *kind)
{
	static bool is_registered = false;
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "admin_ext row plan", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);
	RowPlan		plan;
	uint64		before;

	if (!is_registered)
		CacheRegisterRelcacheCallback(discard_plans, (Datum) 0);
	is_registered = true;
	/* Make the plan again if an invalidation arrived meanwhile. */
	do
	{
		before = invalidations;
		make_plan(through, table, kind, &plan);
	} while (before != invalidations);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
	return keep_plan(&plan);
}

const RowPlan *
row_plan_of(Relation through, Relation table, const RowTable *kind)
{
	for (int i = 0; i < KEPT_PLANS; i++)
	{
		if (kept[i].table == RelationGetRelid(table) && kept[i].through == RelationGetRelid(through))
			return &kept[i];
	}
	return make_kept_plan(through, table, kind);
}
