/*
 * guard.c
 *	  See guard.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_subscription_rel.h"
#include "catalog/pg_trigger.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "layout.h"
#include "relations.h"
#include "settings.h"
#include "store/guard.h"

static void
refuse_call(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("%s was not called as the trigger it is made for", name)));
}

static bool
is_table_or_partition(Relation relation, Oid table)
{
	return RelationGetRelid(relation) == table ||
		(relation->rd_rel->relispartition && get_partition_parent(RelationGetRelid(relation), true) == table);
}

/* Triggers of a relation are kept in the order in which they fire. */
static void
check_is_last(const TriggerData *trigger)
{
	const TriggerDesc *all = trigger->tg_relation->trigdesc;
	int			event = TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? TRIGGER_TYPE_INSERT : TRIGGER_TYPE_UPDATE;
	bool		is_after = false;

	for (int i = 0; i < all->numtriggers; i++)
	{
		const Trigger *other = &all->triggers[i];

		if (other->tgoid == trigger->tg_trigger->tgoid)
			is_after = true;
		else if (is_after && other->tgenabled != TRIGGER_DISABLED &&
				 TRIGGER_TYPE_MATCHES(other->tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE, event))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("trigger \"%s\" of \"%s\" must not fire after the guard",
							other->tgname, RelationGetRelationName(trigger->tg_relation)),
					 errdetail("Its changes would not be validated."),
					 errhint("Rename it so that it sorts before \"%s\", or make it an AFTER trigger.",
							 trigger->tg_trigger->tgname)));
	}
}

void
guard_check_call(FunctionCallInfo fcinfo, const char *name, Oid table, const Oid *types, int columns)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !is_table_or_partition(trigger->tg_relation, table))
		refuse_call(name);
	layout_check_exact(trigger->tg_relation, types, columns);
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event) && TRIGGER_FIRED_BEFORE(trigger->tg_event) &&
		!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		check_is_last(trigger);
}

/* Does a subscription of this database replicate this table? */
static bool
is_subscribed(Oid table)
{
	Relation	catalog = table_open(SubscriptionRelRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, Anum_pg_subscription_rel_srrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/*
 * Rows of a subscription were signed, decided and recorded elsewhere, so they are taken as they
 * come or refused.  A table that is only audited here may take them, unless the subscription also
 * replicates approvals: then the events of its trail would collide with ours under the same
 * numbers.
 */
void
guard_check_subscription(Relation table)
{
	Oid			approval;

	if (!IsLogicalWorker() || admin_restoring)
		return;
	approval = admin_relations()->approval;
	if (RelationGetNamespace(table) != get_rel_namespace(approval) && !is_subscribed(approval))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" does not take rows from a subscription", RelationGetRelationName(table)),
			 errdetail("A copy of admin_ext takes them only while admin_ext.restoring is on."),
			 errhint("Set it with ALTER DATABASE %s SET admin_ext.restoring = on, and follow doc/copies.md.",
					 quote_identifier(get_database_name(MyDatabaseId)))));
}

bool
guard_is_restoring(const TriggerData *trigger)
{
	guard_check_subscription(trigger->tg_relation);
	/* A load only inserts rows.  Other changes are not part of it. */
	return admin_restoring && TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
}

bool
guard_is_copying(const TriggerData *trigger)
{
	return guard_is_restoring(trigger) ||
		(IsLogicalWorker() && TRIGGER_FIRED_BY_UPDATE(trigger->tg_event));
}
