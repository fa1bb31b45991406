/*
 * ingest_same.h
 *	  Does a repeated event have the same content as the one in the trail?
 */
#ifndef ADMIN_EXT_INGEST_SAME_H
#define ADMIN_EXT_INGEST_SAME_H

#include "executor/tuptable.h"

#include "ingest/ingest_event.h"

/*
 * Compares an event with the row of the trail that has its source and id, as audit_seen()
 * found it, and with the row's attributes.  Returns the name of the first attribute that differs,
 * for an error message: "type", "time", "subject", the name of an extension, ...; NULL when the
 * content is the same.  Allocates in the current memory context and leaves it to the caller.
 */
extern const char *ingest_difference(TupleTableSlot *recorded, const IngestEvent *event);

#endif							/* ADMIN_EXT_INGEST_SAME_H */
