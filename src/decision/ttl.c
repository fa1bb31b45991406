/*
 * ttl.c
 *	  States, and the 24-hour rule.  See ttl.h.
 */
#include "decision/ttl.h"

#include <string.h>

static const char *const state_names[] = {
	[STATE_UNKNOWN] = "unknown",
	[STATE_PENDING] = "pending",
	[STATE_SIGNED_PARTIAL] = "signed_partial",
	[STATE_SIGNED_FULL] = "signed_full",
	[STATE_WITHDRAWN] = "withdrawn",
};

static const char *const ttl_names[] = {
	[TTL_NOT_APPLICABLE] = "not-applicable",
	[TTL_VALID] = "valid",
	[TTL_EXPIRED] = "expired",
	[TTL_STALE] = "stale",
};

ApprovalState
approval_state_parse(const char *name, int length)
{
	for (int state = STATE_PENDING; state <= STATE_WITHDRAWN; state++)
	{
		if (length == (int) strlen(state_names[state]) &&
			memcmp(name, state_names[state], length) == 0)
			return (ApprovalState) state;
	}
	return STATE_UNKNOWN;
}

const char *
approval_state_name(ApprovalState state)
{
	return state_names[state];
}

ApprovalState
approval_state_from_signatures(int signatures, int required)
{
	if (signatures < 0 || signatures > required)
		return STATE_UNKNOWN;
	if (signatures == 0)
		return STATE_PENDING;
	return signatures < required ? STATE_SIGNED_PARTIAL : STATE_SIGNED_FULL;
}

/* More than 24 hours past the deadline?  Written so that no instant overflows. */
static bool
deadline_is_stale(int64_t deadline, int64_t at)
{
	if (deadline == TTL_MINUS_INFINITY)
		return at != TTL_MINUS_INFINITY;
	if (at == TTL_INFINITY)
		return deadline != TTL_INFINITY;
	if (at < TTL_MINUS_INFINITY + TTL_STALE_AFTER_US)
		return false;
	return at - TTL_STALE_AFTER_US > deadline;
}

/* First match wins; the order is the contract's. */
TtlState
ttl_state(ApprovalState state, bool closed, int64_t deadline, int64_t at)
{
	if (state == STATE_WITHDRAWN || closed)
		return TTL_NOT_APPLICABLE;
	if (deadline_is_stale(deadline, at))
		return TTL_STALE;
	if (at >= deadline)
		return TTL_EXPIRED;
	if (state == STATE_SIGNED_FULL)
		return TTL_VALID;
	return TTL_NOT_APPLICABLE;
}

const char *
ttl_state_name(TtlState ttl)
{
	return ttl_names[ttl];
}
