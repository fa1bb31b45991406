/*
 * insider_collect.h
 *	  Events about the trail that are written when the transaction commits, and lines of the log.
 */
#ifndef ADMIN_EXT_INSIDER_COLLECT_H
#define ADMIN_EXT_INSIDER_COLLECT_H

#include "postgres.h"

#include "access/xact.h"
#include "nodes/pg_list.h"

/* Actor and payload are of the time when it happened. */
typedef struct CollectedEvent
{
	SubTransactionId subid;
	char	   *event_type;
	char	   *payload;
	char	   *actor;
} CollectedEvent;

/*
 * Collects an event for the end of the transaction.  `payload` is the text of a JSON object.
 * A savepoint that is rolled back takes its events with it.
 */
extern void insider_collect(const char *event_type, const char *payload);

/* The events of this transaction, in order.  The caller must not change or free them. */
extern List *insider_collected(void);

/* The transaction has ended. */
extern void insider_collect_reset(void);

/* When the library is loaded. */
extern void insider_collect_init(void);

/* A line in the server's log, whatever log_min_messages is in this session. */
extern void insider_log(const char *message);

#endif							/* ADMIN_EXT_INSIDER_COLLECT_H */
