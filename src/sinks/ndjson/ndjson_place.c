/*
 * ndjson_place.c
 *	  See ndjson_place.h.
 */
#include "postgres.h"

#include <unistd.h>

#include "sinks/ndjson/ndjson_files.h"
#include "sinks/ndjson/ndjson_place.h"

#define TAIL_BYTES 4096

static pg_crc32c
crc_of(const char *data, int length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, length);
	FIN_CRC32C(crc);
	return crc;
}

void
ndjson_place_read(const char *detail, NdjsonPlace *place)
{
	if (detail[0] != '\0' &&
		(sscanf(detail, "%lld %lld %63s %1023s %d:%x", &place->position_id, &place->offset,
				place->home, place->file, &place->tail_bytes, &place->tail_crc) < 4 ||
		 !ndjson_is_file_name(place->file)))
		elog(ERROR, "malformed position \"%s\"", detail);
}

void
ndjson_place_write(AdminSinkBatch *batch, off_t offset, const char *home, const char *file)
{
	AdminSinkPosition *position = &batch->position;
	int			tail = Min(batch->length, TAIL_BYTES);

	snprintf(position->detail, sizeof(position->detail), "%lld %lld %s %s %d:%08x", (long long) position->position_id,
			 (long long) offset, home, file, tail, crc_of(batch->data + batch->length - tail, tail));
}

bool
ndjson_place_holds(int file, const NdjsonPlace *place)
{
	char		tail[TAIL_BYTES];
	int			bytes = place->tail_bytes > 0 ? place->tail_bytes : 1;

	if (bytes > TAIL_BYTES || bytes > place->offset ||
		pread(file, tail, bytes, place->offset - bytes) != bytes || tail[bytes - 1] != '\n')
		return false;
	return place->tail_bytes == 0 || EQ_CRC32C(crc_of(tail, bytes), place->tail_crc);
}
