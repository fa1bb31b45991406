/*
 * audit_number.h
 *	  Numbers of the trail: each is higher than all before it, whatever setval() does.
 */
#ifndef ADMIN_EXT_AUDIT_NUMBER_H
#define ADMIN_EXT_AUDIT_NUMBER_H

#include "owner.h"

extern void audit_number_init(void);

/*
 * Draws the next audit_id.  Where the sequence was moved back it is moved on first, and the log and
 * the trail say so.  Raises 55000 where the sequence gives no higher number even then.
 */
extern int64 audit_number_draw(void);

/*
 * Runs a query that moves the sequence: one process at a time, so that no process moves it back behind
 * another one.  `number` is its argument.  Answers whether it found that the sequence has to move.
 */
extern bool audit_number_move(OwnerQuery *query, int64 number);

/* setval() is about to run: the sequence is looked at before this transaction commits, or else the next one that does. */
extern void audit_number_note_setval(void);

extern bool audit_number_is_to_check(void);

/* Before commit: notes guard.changed where a setval() has moved the sequence. */
extern void audit_number_check(void);

/* The transaction has ended; after insider_lasting_end(). */
extern void audit_number_end(bool is_commit);

#endif							/* ADMIN_EXT_AUDIT_NUMBER_H */
