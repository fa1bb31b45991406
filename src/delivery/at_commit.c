/*
 * at_commit.c
 *	  A commit that added to the audit trail wakes the workers of its database.
 *
 * This file holds all the code that delivery runs at commit.  It adds this backend's number of rows
 * to the counters of the database's workers.  For each worker that has not been woken yet, it does
 * a compare-and-set and SetLatch().  This code takes no lock, allocates no memory and cannot fail.
 * A latch read here may already belong to another process, which then wakes up for no reason.
 * PREPARE TRANSACTION wakes no worker: the worker's own timer finds what COMMIT PREPARED makes
 * visible.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "audit/audit_append.h"
#include "delivery/at_commit.h"
#include "delivery/shared.h"

static uint64 appended = 0;		/* rows of this transaction, including aborted subtransactions */

static void
note_append(void)
{
	appended++;
}

static void
wake_workers(void)
{
	for (int i = 0; i < DELIVERY_SLOTS; i++)
	{
		DeliverySlot *slot = &delivery_shared->slots[i];
		uint32		asleep = 0;
		Latch	   *latch;

		if (pg_atomic_read_u32(&slot->database_oid) != MyDatabaseId)
			continue;
		pg_atomic_fetch_add_u64(&slot->committed_rows, appended);
		latch = slot->latch;
		if (latch != NULL && pg_atomic_compare_exchange_u32(&slot->wake, &asleep, 1))
			SetLatch(latch);
	}
}

static void
wake_at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (appended > 0)
				wake_workers();
			appended = 0;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			appended = 0;
			break;
		default:
			break;
	}
}

void
at_commit_init(void)
{
	audit_appended_hook = note_append;
	RegisterXactCallback(wake_at_transaction_end, NULL);
}
