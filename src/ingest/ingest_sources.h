/*
 * ingest_sources.h
 *	  Which sources a caller of admin.audit_ingest() may bring events of, and their locks.
 */
#ifndef ADMIN_EXT_INGEST_SOURCES_H
#define ADMIN_EXT_INGEST_SOURCES_H

#include "ingest/ingest_event.h"

/*
 * Refuses the sound events whose source begins with no prefix granted to the current user, by
 * their `error`.  A superuser may bring every source.
 */
extern void ingest_refuse_sources(IngestEvent *events, int count);

/*
 * Locks the rows of these sources in admin.ingest_source to the end of the transaction, and adds
 * those that are new.  The sources are distinct and in order.  Returns for each whether it is
 * locked.  A new source is not locked if the caller has reached its limit.
 */
extern bool *ingest_lock_sources(text *const *sources, int count);

/* Why a source was not locked, for an error message. */
extern const char *ingest_no_room(const text *source);

#endif							/* ADMIN_EXT_INGEST_SOURCES_H */
