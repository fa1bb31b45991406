/*
 * envelope.h
 *	  A row of the trail as a CloudEvents 1.0 JSON document (RFC 8259, one line, UTF-8).
 */
#ifndef ADMIN_EXT_ENVELOPE_H
#define ADMIN_EXT_ENVELOPE_H

#include "executor/tuptable.h"

#include "admin_ext_sink.h"
#include "hashing.h"

/*
 * The documents of a batch.  Buffers are kept from batch to batch, and freed after a batch that was
 * much larger than usual.
 */
typedef struct Envelopes
{
	MemoryContext context;		/* what the buffers live in */
	char	   *data;			/* documents, each with its line break */
	Size		length;
	Size		capacity;
	char	   *keys;			/* partition keys, one after the other */
	Size		keys_length;
	Size		keys_capacity;
	AdminSinkRecord *records;
	int			count;
	int			records_capacity;
	Hashing    *hashing;		/* of data, in the background; the worker's, and kept by
								 * envelopes_init() */
	Size		hashed;			/* how many bytes of data it was given */
	char		source[64];		/* "/admin_ext/<store id>" */
} Envelopes;

extern void envelopes_init(Envelopes *envelopes, MemoryContext context, const char *store_id);
extern void envelopes_reset(Envelopes *envelopes, Size keep);

/* Adds the document of a row whose columns have been extracted; needs a transaction. */
extern void envelopes_add(Envelopes *envelopes, TupleTableSlot *row);

#endif							/* ADMIN_EXT_ENVELOPE_H */
