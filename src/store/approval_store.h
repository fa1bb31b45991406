/*
 * approval_store.h
 *	  Finds an approval.
 */
#ifndef ADMIN_EXT_APPROVAL_STORE_H
#define ADMIN_EXT_APPROVAL_STORE_H

#include "utils/snapshot.h"

#include "store/approval.h"

/*
 * Returns a registered snapshot of approvals and signatures as they are now.  Their tables are
 * locked first, to the end of the transaction.  A snapshot taken before a wait for the lock would
 * not see rows that were rewritten meanwhile, for example by pg_repack.
 */
extern Snapshot approval_store_snapshot(void);

/* False when there is no such approval.  The snapshot must be registered or active. */
extern bool approval_store_read(Datum approval_id, Snapshot snapshot, ApprovalRow *row);

/*
 * Locks the approval to the end of the transaction and returns its newest version, in SPI's
 * memory; raises P0002 when there is none.  Signers of one approval, and a withdrawal, wait
 * for each other here.
 */
extern void approval_store_lock(Datum approval_id, ApprovalRow *row);

/* The approval and its signatures as the decision wants them. */
extern void approval_store_facts(Datum approval_id, Snapshot snapshot, ApprovalFacts *facts);

#endif							/* ADMIN_EXT_APPROVAL_STORE_H */
