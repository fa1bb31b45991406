/*
 * action_policy.h
 *	  Policies of actions: the least that an approval of an action must have (semantics.md).
 */
#ifndef ADMIN_EXT_ACTION_POLICY_H
#define ADMIN_EXT_ACTION_POLICY_H

#include "datatype/timestamp.h"

#include "store/approval.h"

typedef struct ActionPolicy
{
	bool		exists;
	PolicyText	roles[MAX_REQUIRED_SIGNERS];
	int			role_count;
	bool		has_max_ttl;
	Interval	max_ttl;
	bool		resource_required;
	TimestampTz added_at;
} ActionPolicy;

/*
 * Reads the policy of an action by a snapshot, which must be registered or active.  Texts live
 * in the current memory context.  Locks: AccessShareLock on admin.action_policy to the end of the
 * transaction.
 */
extern void action_policy_read(PolicyText action, Snapshot snapshot, ActionPolicy *policy);

/*
 * What an approval lacks by a policy, in sentences in the current memory context; NULL when it
 * lacks nothing or there is no policy.  An approval that claims to be created in the future counts
 * as created now.
 */
extern char *action_policy_lacks(const ActionPolicy *policy, const ApprovalRow *approval, TimestampTz created_at);

/*
 * Raises 23514 when an approval does not meet the policy of its action, or when the action has
 * none and admin_ext.require_action_policy is on.  The policy is the one that is committed at this
 * moment, also in a transaction whose snapshot is older.
 */
extern void action_policy_check(const ApprovalRow *approval, TimestampTz created_at);

#endif							/* ADMIN_EXT_ACTION_POLICY_H */
