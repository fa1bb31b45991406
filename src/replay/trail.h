/*
 * trail.h
 *	  The history of an approval, as the audit trail tells it.
 */
#ifndef ADMIN_EXT_TRAIL_H
#define ADMIN_EXT_TRAIL_H

#include "store/approval.h"

/* A change of the approval, or a signature. */
typedef struct TrailEvent
{
	int64		audit_id;
	uint64		xid;			/* the transaction that wrote it */
	TimestampTz recorded_at;
	bool		is_issuing;
	bool		is_signature;
	ApprovalRow approval;		/* after the change */
	PolicyText	role;			/* of a signature, as the next two */
	PolicyText	signer;
	PolicyText	digest;
} TrailEvent;

/* SPI leaves its own memory current; what is made of its rows has to outlive that. */
typedef struct Trail
{
	MemoryContext context;
	TrailEvent *events;			/* in order of audit_id */
	int			count;
} Trail;

/* What the trail has of an approval below an audit_id; SPI is connected, as the owner. */
extern void trail_read(Trail *trail, text *approval_id, int64 below);

/* The approval and its signatures after the first `count` events. */
extern void trail_facts(const Trail *trail, int count, ApprovalFacts *facts);

/* Of the first `count` events: how many come before the transaction of the last one. */
extern int	trail_before_transaction(const Trail *trail, int count);

#endif							/* ADMIN_EXT_TRAIL_H */
