/*
 * attributes.h
 *	  Context attributes of ingested events that the trail has no column for.
 */
#ifndef ADMIN_EXT_ATTRIBUTES_H
#define ADMIN_EXT_ATTRIBUTES_H

#include "postgres.h"

/* A JSON object, in the current memory context; NULL: the event has none.  Needs a snapshot. */
extern text *audit_attributes(int64 audit_id);

#endif							/* ADMIN_EXT_ATTRIBUTES_H */
