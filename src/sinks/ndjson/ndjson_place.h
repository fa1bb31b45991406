/*
 * ndjson_place.h
 *	  Where the last batch of the NDJSON sink ends, as the position says.
 */
#ifndef ADMIN_EXT_NDJSON_PLACE_H
#define ADMIN_EXT_NDJSON_PLACE_H

#include "port/pg_crc32c.h"

#include "admin_ext_sink.h"

/* What the position says, taken apart: "<position_id> <offset> <home> <file> <tail_bytes>:<tail_crc>". */
typedef struct NdjsonPlace
{
	long long	position_id;	/* of the batch that was written last */
	long long	offset;			/* where it ends */
	char		home[64];
	char		file[MAXPGPATH];	/* empty before the first one */
	int			tail_bytes;		/* of the batch, before the offset; 0: not known */
	pg_crc32c	tail_crc;		/* CRC-32C of those */
} NdjsonPlace;

extern void ndjson_place_read(const char *detail, NdjsonPlace *place);

/* In the detail of the batch's position. */
extern void ndjson_place_write(AdminSinkBatch *batch, off_t offset, const char *home, const char *file);

/* Does the end of the batch that was recorded last stand before the offset? */
extern bool ndjson_place_holds(int file, const NdjsonPlace *place);

#endif							/* ADMIN_EXT_NDJSON_PLACE_H */
