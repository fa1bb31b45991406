/*
 * guard.h
 *	  What the guards' triggers share.
 */
#ifndef ADMIN_EXT_GUARD_H
#define ADMIN_EXT_GUARD_H

#include "commands/trigger.h"
#include "utils/rel.h"

/*
 * Raises unless the trigger was called on the table it guards or a partition of it,
 * with the columns it knows, and no other BEFORE trigger of a row comes after it: the
 * changes of that one would not be validated.
 */
extern void guard_check_call(FunctionCallInfo fcinfo, const char *name, Oid table, const Oid *types, int columns);

/*
 * Raises 55000 for a row that a subscription brings while admin_ext.restoring is off: of a table of
 * the extension, and of any table where approvals come with it.
 */
extern void guard_check_subscription(Relation table);

/* Is a row of a logical dump being loaded?  Errors: those of guard_check_subscription(). */
extern bool guard_is_restoring(const TriggerData *trigger);

/* The same, or does a subscription bring another version of a row while it is on? */
extern bool guard_is_copying(const TriggerData *trigger);

#endif							/* ADMIN_EXT_GUARD_H */
