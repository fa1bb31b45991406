/*
 * own_row.c
 *	  Trigger of the tables with the progress of delivery: the identity of this copy of the data,
 *	  ticks and positions.
 *
 * They belong to one copy of the data.  pg_dump leaves them out, and a subscription that
 * brings them skips them here: the copy has rows of its own, and delivers nothing before
 * admin.resync_sink() has said where to begin.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "replication/logicalworker.h"

#include "store/guard.h"

PG_FUNCTION_INFO_V1(admin_own_row);

Datum
admin_own_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("own_row has to be called as a BEFORE trigger of a row")));
	guard_check_subscription(trigger->tg_relation);
	if (IsLogicalWorker())
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple);
}
