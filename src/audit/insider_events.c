/*
 * insider_events.c
 *	  Appends the events about the trail that a transaction has collected, before it commits.
 *
 * They are appended at the end for two reasons.  A command may leave the trail unable to take a row
 * until the transaction ends.  And a dump attaches the partitions after other commands.
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
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "audit/audit_append.h"
#include "audit/audit_event.h"
#include "audit/audit_number.h"
#include "audit/insider.h"
#include "audit/insider_collect.h"
#include "audit/insider_own.h"
#include "audit/insider_preload.h"
#include "audit/insider_restoring.h"
#include "audit/insider_setting.h"
#include "owner.h"
#include "relations.h"
#include "settings.h"

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
 * A dump sets the sequence only after it has loaded the rows.  So a number drawn before could equal
 * that of a row still to be loaded.  Therefore such numbers begin at the microseconds since 1970.
 * No trail draws a million numbers a second, and a later load begins above an earlier one.
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

	(void) audit_number_move(&query, insider_highest_loaded());
}

/* A prepared transaction may be rolled back, so events of lasting acts wait for another one. */
static void
append_collected(bool is_prepared)
{
	ListCell   *cell;

	if (!is_prepared)
		insider_collect_lasting();
	foreach(cell, insider_collected())
	{
		const CollectedEvent *event = lfirst(cell);

		(void) audit_append_event_of(event->actor, event->event_type, NULL, cstring_to_text(event->payload));
		/* Drawing the event's number may have detected that the sequence was moved. */
		if (!is_prepared)
			insider_collect_lasting();
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
before_commit(bool is_prepared)
{
	bool		was_read_only = XactReadOnly;

	if (!insider_has_preload() && insider_collected() == NIL && !insider_has_loaded() && !insider_has_settings() &&
		!insider_has_lasting() && !audit_number_is_to_check())
		return;
	/* A transaction that was set to read-only after it had written still records its events. */
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		XactReadOnly = false;

	/*
	 * Events that wait continue to wait.  A DEFERRABLE snapshot would wait for other transactions.
	 */
	if (XactReadOnly && insider_collected() == NIL)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	if (insider_trail_can_take())
	{
		/*
		 * A restore attaches the partitions first, and the default partition must be empty then.
		 * Later several sessions create their indexes, and each would wait for a partition that
		 * another one has locked.
		 */
		bool		is_too_early = admin_restoring && !insider_has_loaded() && !insider_store_is_adopted();

		if (!is_too_early)
			insider_collect_settings(true);
		/* Rows may still come: the schema, with its grants, can be loaded long before the data. */
		if (insider_has_loaded() || (admin_restoring && (!is_too_early || insider_collected() != NIL)))
			draw_above_what_is_loaded();
		if (!is_prepared)
			audit_number_check();
		insider_collect_loaded();
		if (!is_too_early)
			insider_collect_settings(false);
		if (!is_prepared)
			insider_collect_preload();
		append_collected(is_prepared);
	}
	else if (insider_collected() != NIL)
	{
		insider_catalog_check();
		ereport(WARNING,
				(errmsg_plural("could not record %d event of this transaction in the audit trail",
							   "could not record %d events of this transaction in the audit trail",
							   list_length(insider_collected()), list_length(insider_collected())),
				 errdetail("They are in the server's log only.")));
	}
	PopActiveSnapshot();
	XactReadOnly = was_read_only;
}

static void
insider_at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			before_commit(event == XACT_EVENT_PRE_PREPARE);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
			insider_collect_reset();
			insider_own_reset();
			insider_catalog_reset();
			insider_settings_end(event);
			insider_lasting_end(event == XACT_EVENT_COMMIT);
			audit_number_end(event == XACT_EVENT_COMMIT);
			insider_preload_end(event == XACT_EVENT_COMMIT);
			break;
		default:
			break;
	}
}

void
insider_init(void)
{
	insider_own_init();
	insider_ddl_init();
	insider_catalog_init();
	RegisterXactCallback(insider_at_transaction_end, NULL);
	insider_collect_init();
}
