/*
 * sensitive_check.h
 *	  SQL entry of the decision: read, decide, record, respond.
 */
#ifndef ADMIN_EXT_SENSITIVE_CHECK_H
#define ADMIN_EXT_SENSITIVE_CHECK_H

#include "check/check.h"

/* Reads the arguments approval_id, action and resource, which come first in every function. */
extern void check_read_request(FunctionCallInfo fcinfo, Check *check, TimestampTz at);

/* The instant of a preview: the argument, or now when it is null. */
extern TimestampTz check_instant_argument(FunctionCallInfo fcinfo, int n);

/* Reads the approval by the snapshot, and decides. */
extern void check_decide(Check *check, Snapshot snapshot);

#endif							/* ADMIN_EXT_SENSITIVE_CHECK_H */
