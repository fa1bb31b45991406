/*
 * guard.h
 *	  What the guards' triggers share.
 */
#ifndef ADMIN_EXT_GUARD_H
#define ADMIN_EXT_GUARD_H

#include "commands/trigger.h"

/*
 * Raises unless the trigger was called on the table it guards or a partition of it,
 * with the columns it knows, and no other BEFORE trigger of a row comes after it: what
 * that one made of the row nobody would have looked at.
 */
extern void guard_check_call(FunctionCallInfo fcinfo, const char *name, Oid table, int columns);

/* Is a row of a logical dump being loaded? */
extern bool guard_is_restoring(const TriggerData *trigger);

#endif							/* ADMIN_EXT_GUARD_H */
