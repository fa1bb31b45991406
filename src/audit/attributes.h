/*
 * attributes.h
 *	  Context attributes of ingested events that the trail has no column for.
 */
#ifndef ADMIN_EXT_ATTRIBUTES_H
#define ADMIN_EXT_ATTRIBUTES_H

#include "postgres.h"


#include "audit/row_writer.h"

/* Attributes of events that are being added to the trail. */
extern void audit_attributes_open(RowWriter *writer);
extern void audit_attributes_add(RowWriter *writer, int64 audit_id, text *attributes);
extern void audit_attributes_close(RowWriter *writer);

/* A JSON object, in the current memory context; NULL: the event has none. */
extern text *audit_attributes(int64 audit_id);

#endif							/* ADMIN_EXT_ATTRIBUTES_H */
