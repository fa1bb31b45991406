/*
 * check.h
 *	  A check under way: what is asked, what is known, what was decided.
 */
#ifndef ADMIN_EXT_CHECK_H
#define ADMIN_EXT_CHECK_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/snapshot.h"

#include "decision/policy.h"

typedef struct Check
{
	text	   *approval_id;	/* NULL for SQL's null */
	PolicyRequest request;
	ApprovalFacts facts;
	PolicyDecision decision;
	bool		is_replayed;	/* from the trail */
	bool		is_guessed;		/* replayed from a row without "request": what was asked is not
								 * known */
	int64		in_flight;		/* decided without this row of the trail and what follows; 0: with
								 * all */
} Check;

#endif							/* ADMIN_EXT_CHECK_H */
