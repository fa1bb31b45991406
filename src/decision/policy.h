/*
 * policy.h
 *	  The decision: ten rules over one approval, its signatures and an instant.
 *
 * A pure function of its arguments: no server headers, no allocation, no clock,
 * no I/O, so that it compiles into a unit test, a fuzzer and the server alike.
 * Fetching the facts is the store's work, recording the answer the audit's.
 */
#ifndef ADMIN_EXT_POLICY_H
#define ADMIN_EXT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decision/ttl.h"

#define MAX_REQUIRED_SIGNERS	8
#define POLICY_RULES			10

/* A string that need not end in a zero byte; data is NULL for SQL's null. */
typedef struct PolicyText
{
	const char *data;
	size_t		length;
} PolicyText;

/* What the caller asks.  A null action or resource is one the caller did not name. */
typedef struct PolicyRequest
{
	PolicyText	approval_id;
	PolicyText	action;
	PolicyText	resource;
	int64_t		at;				/* microseconds */
} PolicyRequest;

/* What the store knows.  Only `found` is meaningful when it is false. */
typedef struct ApprovalFacts
{
	bool		found;
	bool		readable;		/* every column could be read and is within its bounds */
	ApprovalState state;
	bool		closed;			/* closed_at is set */
	int64_t		deadline;		/* microseconds */
	int			required_signer_count;
	int			signature_count;	/* rows counted, never a stored number */
	bool		signatures_sound;	/* digests, roles and people all fit the approval */
	PolicyText	action;
	PolicyText	resource;
} ApprovalFacts;

typedef enum PolicyReason
{
	REASON_NONE,				/* the decision is valid */
	REASON_APPROVAL_ID_INVALID,
	REASON_APPROVAL_NOT_FOUND,
	REASON_APPROVAL_WITHDRAWN,
	REASON_APPROVAL_INCONSISTENT,
	REASON_ACTION_MISMATCH,
	REASON_RESOURCE_MISMATCH,
	REASON_APPROVAL_EXPIRED,
	REASON_DUAL_SIGNERS_REQUIRED,
	REASON_SIGNATURE_REQUIRED
} PolicyReason;

typedef struct PolicyDecision
{
	int			precedence;		/* 1 .. POLICY_RULES: the rule that decided */
	bool		valid;
	PolicyReason reason;
	TtlState	ttl;			/* meaningful when the approval was found */
	bool		operator_alert;
	bool		requestable;	/* may a person still turn this into a yes, by signing? */
} PolicyDecision;

extern void policy_decide(const PolicyRequest *request, const ApprovalFacts *facts,
						  PolicyDecision *decision);

/*
 * For explaining a decision.  policy_rule_holds() says whether a rule's own
 * condition is met, whatever the rules before it say; a rule that needs an
 * approval does not hold without one.  Precedence runs from 1 to POLICY_RULES.
 */
extern const char *policy_rule_text(int precedence);
extern bool policy_rule_holds(int precedence, const PolicyRequest *request,
							  const ApprovalFacts *facts);
extern const char *policy_reason_name(PolicyReason reason);

#endif							/* ADMIN_EXT_POLICY_H */
