/*
 * findings_policy.h
 *	  Of readiness: do open approvals meet the policies of their actions?
 */
#ifndef ADMIN_EXT_FINDINGS_POLICY_H
#define ADMIN_EXT_FINDINGS_POLICY_H

#include "lib/stringinfo.h"

#include "store/approval.h"

#define UNRULED_SHOWN	8		/* actions without a policy that are named */
#define UNRULED_BYTES	64		/* of each name */

/* Actions in use without a policy, the first of them in order.  Travels between processes as bytes. */
typedef struct UnruledActions
{
	int			count;			/* of the names */
	bool		are_more;
	char		names[UNRULED_SHOWN][UNRULED_BYTES + 1];
} UnruledActions;

/* The policies that one process has read; lives in the memory context it was begun in. */
typedef struct PolicyBook PolicyBook;

extern PolicyBook *policy_book_begin(void);

/*
 * Looks at an approval that is open at the instant.  Returns true when it does not meet a policy
 * that was set before it was created; adds its action to `unruled` when there is no policy.  Uses
 * the active snapshot.
 */
extern bool policy_book_look(PolicyBook *book, const ApprovalRow *row, TimestampTz created_at, UnruledActions *unruled);

extern void unruled_add(UnruledActions *into, const char *name);
extern void unruled_join(UnruledActions *into, const UnruledActions *from);

/* ,"without_policy":{"actions":[...],"more":...} */
extern void append_unruled(StringInfo out, const UnruledActions *unruled);

#endif							/* ADMIN_EXT_FINDINGS_POLICY_H */
