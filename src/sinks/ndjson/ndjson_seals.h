/*
 * ndjson_seals.h
 *	  <database>.seals.ndjson: one line for each file that is finished, as doc/evidence.md defines it.
 *
 * A file is finished when another one has been begun, and the position says so.  Then it is never
 * extended again, and its line is written: a crash may write the same line twice to the same place.
 */
#ifndef ADMIN_EXT_NDJSON_SEALS_H
#define ADMIN_EXT_NDJSON_SEALS_H

#include "admin_ext_sink.h"
#include "hashing.h"
#include "sinks/ndjson/ndjson_files.h"

/* More batches than these make a new file: its line has to list them. */
#define NDJSON_MOST_BATCHES	100000

/* What is known of a file. */
typedef struct NdjsonContent
{
	char		file[MAXPGPATH];	/* empty: there is none */
	int64		bytes;
	int64		first;			/* delivery numbers */
	int64		last;
	int			batches;
	char		chain_before[ADMIN_SINK_CHAIN_BYTES];
	char		chain_after[ADMIN_SINK_CHAIN_BYTES];
	char		sha256[ADMIN_SINK_CHAIN_BYTES]; /* "-": not known */
} NdjsonContent;

typedef struct NdjsonSeals
{
	NdjsonContent at_hand;		/* the file that batches go to */
	NdjsonContent finished;		/* the one before it, while it has no line */
	int64		end;			/* of the lines; -1: not known */
	int64		recorded_end;	/* the same, as the position says */
	Hashing    *hash;			/* of all bytes of at_hand; NULL: not all were hashed */
} NdjsonSeals;

/* Takes from the position what ndjson_seals_record() has left there. */
extern void ndjson_seals_read(NdjsonSeals *seals, const AdminSinkPosition *position);

/* The position was written to this directory: the lines have to end where it says. */
extern void ndjson_seals_expect(NdjsonSeals *seals);

/* Does the file have so many batches that another one has to be begun? */
extern bool ndjson_seals_are_many(const NdjsonSeals *seals);

/*
 * The file is finished (fd is its descriptor, or -1 if it is not open), and the batch begins
 * another one.
 */
extern void ndjson_seals_finish(NdjsonSeals *seals, const NdjsonDirectory *directory, int fd);
extern void ndjson_seals_begin(NdjsonSeals *seals, const char *file, const AdminSinkBatch *batch);

/* Adds a batch that was written.  Its data must not change until ndjson_seals_record(). */
extern void ndjson_seals_add(NdjsonSeals *seals, const AdminSinkBatch *batch);

/* Appends what a recovery needs to the detail of the batch's position. */
extern void ndjson_seals_record(NdjsonSeals *seals, AdminSinkBatch *batch);

extern void ndjson_seals_close(NdjsonSeals *seals);

#endif							/* ADMIN_EXT_NDJSON_SEALS_H */
