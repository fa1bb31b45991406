/*
 * claim.h
 *	  The functions of claim.c that other files call.
 */
#ifndef ADMIN_EXT_CLAIM_H
#define ADMIN_EXT_CLAIM_H

#include "delivery/worker_types.h"

/* Sets sink.claim, where this server has come after the one that recorded the position. */
extern void worker_make_claim(Worker *worker);

/* Was the claim made for this store, by a server that has come after this one? */
extern bool worker_yields(const AdminSink *sink, const char *claim);

/* Fenced by another worker, its sink still open: decides whether and when this one comes back. */
extern void worker_plan_return(Worker *worker);

/* Is it time?  Then sink.was_fenced is set. */
extern bool worker_returns(Worker *worker);

#endif							/* ADMIN_EXT_CLAIM_H */
