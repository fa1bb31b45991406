/*
 * replay.h
 *	  A recorded check, decided again as of its instant from the audit trail alone.
 */
#ifndef ADMIN_EXT_REPLAY_H
#define ADMIN_EXT_REPLAY_H

#include "check/check.h"

typedef struct Replay
{
	Check		check;
	text	   *recorded;		/* the answer, as it was given */
	text	   *replayed;		/* the answer of the trail */
	text	   *request;		/* what was asked, as JSON; NULL when the row does not have it */
	bool		is_equal;		/* byte for byte */
} Replay;

/*
 * Raises P0002 when the trail has no such check, 55000 when what it has is no answer of the
 * contract, or when it does not reach back to the issuing of the approval.
 */
extern void replay_recorded(int64 audit_id, Replay *replay);

#endif							/* ADMIN_EXT_REPLAY_H */
