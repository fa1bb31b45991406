/*
 * ndjson_marker.h
 *	  What the NDJSON sink keeps beside its files: a marker per store, a lock per database.
 */
#ifndef ADMIN_EXT_NDJSON_MARKER_H
#define ADMIN_EXT_NDJSON_MARKER_H

#include "admin_ext_sink.h"
#include "sinks/ndjson/ndjson_files.h"

/* The batch that was written last, or was about to be.  file is empty when there is none. */
typedef struct NdjsonMarker
{
	int64		position_id;	/* that holds once the batch is recorded; 0: no batch yet */
	int64		tick_id;
	char		nonce[37];
	int64		audit_id;
	int64		from;			/* where this store's part of the file begins */
	int64		last_number;	/* delivery number of the batch's last document */
	char		chain[ADMIN_SINK_CHAIN_BYTES];	/* and the delivery chain after it */
	char		file[MAXPGPATH];
} NdjsonMarker;

typedef struct NdjsonBeside
{
	const NdjsonDirectory *directory;
	int			marker;			/* open file <store id>.position; -1: none */
	int			lock;			/* open and locked file <database>.lock; -1: none */
	bool		is_ours;		/* no other store has written for this database since */
	bool		is_named;		/* the lock file names this store */
	NdjsonMarker last;			/* what the marker says */
} NdjsonBeside;

/* Fenced when another process holds the lock, stopped when the marker is damaged. */
extern AdminSinkResult ndjson_beside_open(AdminSink *sink, NdjsonBeside *beside,
										  const NdjsonDirectory *directory);

/* Fenced when another process has written the marker meanwhile. */
extern AdminSinkResult ndjson_marker_write(AdminSink *sink, NdjsonBeside *beside,
										   const NdjsonMarker *marker, bool flush);

/* Says in the lock that from now on files of this database are written by this store. */
extern AdminSinkResult ndjson_take_over(AdminSink *sink, NdjsonBeside *beside);
extern void ndjson_beside_close(NdjsonBeside *beside);

#endif							/* ADMIN_EXT_NDJSON_MARKER_H */
