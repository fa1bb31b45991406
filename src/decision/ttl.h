/*
 * ttl.h
 *	  The clock side of a decision: what an approval's deadline means at an instant.
 *
 * Pure C: no server headers, no allocation, no clock of its own.  Instants are
 * microseconds on one time line, whatever its epoch (PostgreSQL's TimestampTz
 * qualifies); the two ends of int64 stand for -infinity and infinity, as they
 * do in TimestampTz.
 */
#ifndef ADMIN_EXT_TTL_H
#define ADMIN_EXT_TTL_H

#include <stdbool.h>
#include <stdint.h>

/* An expired approval turns stale when more than this has passed: 24 hours, whatever the zone. */
#define TTL_STALE_AFTER_US	INT64_C(86400000000)

#define TTL_MINUS_INFINITY	INT64_MIN
#define TTL_INFINITY		INT64_MAX

/* The states of an approval; STATE_UNKNOWN is any text the code does not know. */
typedef enum ApprovalState
{
	STATE_UNKNOWN,
	STATE_PENDING,
	STATE_SIGNED_PARTIAL,
	STATE_SIGNED_FULL,
	STATE_WITHDRAWN
} ApprovalState;

typedef enum TtlState
{
	TTL_NOT_APPLICABLE,
	TTL_VALID,
	TTL_EXPIRED,
	TTL_STALE
} TtlState;

extern ApprovalState approval_state_parse(const char *name, int length);
extern const char *approval_state_name(ApprovalState state);

/*
 * The state that `signatures` of `required` signatures amount to; STATE_UNKNOWN
 * when there are more than required, which no sound store holds.
 */
extern ApprovalState approval_state_from_signatures(int signatures, int required);

extern TtlState ttl_state(ApprovalState state, bool closed, int64_t deadline, int64_t at);
extern const char *ttl_state_name(TtlState ttl);

#endif							/* ADMIN_EXT_TTL_H */
