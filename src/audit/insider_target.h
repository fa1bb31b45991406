/*
 * insider_target.h
 *	  Which of our objects a command names.  Within insider_target*.c.
 *
 * Each function answers whether it has found one, and puts it in the target.  Names are looked up
 * without a lock.
 */
#ifndef ADMIN_EXT_INSIDER_TARGET_H
#define ADMIN_EXT_INSIDER_TARGET_H

#include "postgres.h"

#include "nodes/parsenodes.h"

typedef struct Target
{
	Oid			class;
	Oid			object;
} Target;

/* Always true. */
extern bool target_found(Target *target, Oid class, Oid object);

extern bool target_of_relation(Target *target, const RangeVar *name);
extern bool target_of_relations(Target *target, List *names);

/*
 * Is it one of our objects, or one in pg_catalog?  Write access to either gives power over the
 * objects that guard the trail.
 */
extern bool target_of_object(Target *target, Oid class, Oid object);

/* Of GRANT, REVOKE, and commands on roles; false for any other command. */
extern bool target_of_access(Target *target, Node *statement);

#endif							/* ADMIN_EXT_INSIDER_TARGET_H */
