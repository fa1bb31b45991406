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

/* Reads the arguments approval_id, action and resource, which come first in every function. */
extern void check_read_request(FunctionCallInfo fcinfo, Check *check, TimestampTz at);

/* The instant of a preview: the argument, or now when it is null. */
extern TimestampTz check_instant_argument(FunctionCallInfo fcinfo, int n);

/* Reads the approval by the snapshot, and decides. */
extern void check_decide(Check *check, Snapshot snapshot);

#endif							/* ADMIN_EXT_CHECK_H */
