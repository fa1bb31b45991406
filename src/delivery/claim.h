/*
 * claim.h
 *	  Decides which of two servers with the same store identity continues to deliver.
 */
#ifndef ADMIN_EXT_CLAIM_H
#define ADMIN_EXT_CLAIM_H

#include "delivery/worker_types.h"

/* Sets sink.claim if another server recorded the position; otherwise leaves it empty. */
extern void worker_make_claim(Worker *worker);

/* Was this claim made for this store, by a server that replaces this one? */
extern bool worker_yields(const AdminSink *sink, const char *claim);

/* Decides whether and when a fenced worker returns.  To be called while its sink is still open. */
extern void worker_plan_return(Worker *worker);

/* Is it time to return?  If so, sets sink.was_fenced. */
extern bool worker_returns(Worker *worker);

#endif							/* ADMIN_EXT_CLAIM_H */
