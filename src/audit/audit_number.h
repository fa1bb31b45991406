/*
 * audit_number.h
 *	  Numbers of the trail: each is higher than all before it, whatever setval() does.
 */
#ifndef ADMIN_EXT_AUDIT_NUMBER_H
#define ADMIN_EXT_AUDIT_NUMBER_H

#include "owner.h"

extern void audit_number_init(void);

/*
 * Draws the next audit_id.  If the sequence was moved back, moves it forward first, and reports
 * that in the log and the trail.  Raises 55000 if the sequence still returns no higher number.
 */
extern int64 audit_number_draw(void);

/*
 * Runs a query that moves the sequence, in one process at a time, so that one move does not undo
 * another.  `number` is the query's argument.  Returns whether the query has moved the sequence.
 */
extern bool audit_number_move(OwnerQuery *query, int64 number);

/*
 * Notes that setval() is about to run.  The sequence is checked before this transaction commits, or
 * else before the next commit.
 */
extern void audit_number_note_setval(void);

extern bool audit_number_is_to_check(void);

/* Before commit: notes guard.changed where a setval() has moved the sequence. */
extern void audit_number_check(void);

/* The transaction has ended; after insider_lasting_end(). */
extern void audit_number_end(bool is_commit);

#endif							/* ADMIN_EXT_AUDIT_NUMBER_H */
