/*
 * guard.h
 *	  What the two guards share.
 */
#ifndef ADMIN_EXT_GUARD_H
#define ADMIN_EXT_GUARD_H

#include "commands/trigger.h"

/* The answer of a trigger that lets things pass as they are. */
static inline Datum
guard_stand_aside(TriggerData *trigger)
{
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
						   trigger->tg_newtuple : trigger->tg_trigtuple);
}

#endif							/* ADMIN_EXT_GUARD_H */
