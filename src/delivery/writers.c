/*
 * writers.c
 *	  Waits until the numbers of the trail that were drawn so far are settled.
 *
 * A transaction that has drawn an audit_id holds a lock of the sequence until it ends.  No lock
 * is asked for here, so no session waits behind this one.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"

#include "monotonic.h"
#include "relations.h"

PG_FUNCTION_INFO_V1(admin_wait_for_writers);

#define POLL_MS	5

/* wait_for_writers(timeout_ms int): false when some are still open after that time. */
Datum
admin_wait_for_writers(PG_FUNCTION_ARGS)
{
	int64		until = monotonic_ms() + PG_GETARG_INT32(0);
	LOCKTAG		tag;
	VirtualTransactionId *writers;
	int			count;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, admin_relations()->audit_sequence);
	/* Our own transaction is left out. */
	writers = GetLockConflicts(&tag, ShareLock, &count);
	for (int i = 0; i < count; i++)
	{
		while (!VirtualXactLock(writers[i], false))
		{
			if (monotonic_ms() >= until)
				PG_RETURN_BOOL(false);
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_RETURN_BOOL(true);
}
