/*
 * ndjson_marker.c
 *	  What the NDJSON sink keeps beside its files.
 *
 * The marker, <store id>.position, is written before each batch: it tells a database
 * that has lost commits from one that has merely not recorded the last batch, and finds
 * a file that was begun and never recorded.  The lock, <database>.lock, keeps a second
 * worker out while one writes, be it of a cloned cluster, and holds the id of the
 * store that wrote last.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "storage/fd.h"

#include "path_component.h"
#include "sinks/ndjson/ndjson_marker.h"

/* One sector, so that it is replaced as a whole. */
#define MARKER_BYTES	512
#define STORE_ID_BYTES	36

static AdminSinkResult
marker_damaged(AdminSink *sink, const NdjsonBeside *beside, const char *name)
{
	snprintf(sink->error, sizeof(sink->error),
			 "file \"%s/%s\" is damaged; remove it, then call admin.resync_sink('%s', ...) with the number that "
			 "admin.resync_proposal('%s') returns", beside->directory->path, name, sink->name, sink->name);
	return ADMIN_SINK_STOP;
}

/* Opens the marker or the lock; all workers of the database use the same file. */
static AdminSinkResult
open_beside(AdminSink *sink, const NdjsonBeside *beside, const char *name, int *fd)
{
	return ndjson_file_open(sink, beside->directory, name, O_CREAT, pg_file_create_mode, fd);
}

/* The marker names a file that is cut to a length, so it must be one that this sink has written. */
static bool
is_sound(const NdjsonMarker *marker)
{
	return marker->position_id > 0 && marker->from >= 0 && marker->last_number > 0 &&
		strspn(marker->chain, "0123456789abcdef") == ADMIN_SINK_CHAIN_BYTES - 1 && ndjson_is_file_name(marker->file);
}

static AdminSinkResult
open_marker(AdminSink *sink, NdjsonBeside *beside)
{
	NdjsonMarker *last = &beside->last;
	char		name[STORE_ID_BYTES + 16];
	char		text[MARKER_BYTES + 1] = "";
	ssize_t		bytes;
	AdminSinkResult result;

	memset(last, 0, sizeof(*last));
	snprintf(name, sizeof(name), "%s.position", sink->store_id);
	result = open_beside(sink, beside, name, &beside->marker);
	if (result != ADMIN_SINK_OK)
		return result;
	bytes = pread(beside->marker, text, MARKER_BYTES, 0);
	if (bytes < 0)
		return ndjson_outage(sink, "read file", name);
	if (bytes > 0 &&
		(sscanf(text, INT64_FORMAT " " INT64_FORMAT " %36s " INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " %64s %511s",
				&last->position_id, &last->tick_id, last->nonce, &last->audit_id, &last->from, &last->last_number,
				last->chain, last->file) != 8 || !is_sound(last)))
		return marker_damaged(sink, beside, name);
	return ADMIN_SINK_OK;
}

static AdminSinkResult
open_lock(AdminSink *sink, NdjsonBeside *beside)
{
	char		name[MAXPGPATH];
	char		owner[STORE_ID_BYTES];
	ssize_t		bytes;
	AdminSinkResult result;

	path_component(sink->database, name, sizeof(name) - strlen(".lock"));
	strlcat(name, ".lock", sizeof(name));
	result = open_beside(sink, beside, name, &beside->lock);
	if (result != ADMIN_SINK_OK)
		return result;
	if (flock(beside->lock, LOCK_EX | LOCK_NB) < 0)
	{
		if (errno != EWOULDBLOCK)
			return ndjson_outage(sink, "lock file", name);
		snprintf(sink->error, sizeof(sink->error),
				 "another worker holds \"%s/%s\"; two clusters must not share a directory", beside->directory->path, name);
		return ADMIN_SINK_FENCED;
	}
	bytes = pread(beside->lock, owner, STORE_ID_BYTES, 0);
	if (bytes < 0)
		return ndjson_outage(sink, "read file", name);
	beside->is_named = bytes == STORE_ID_BYTES && memcmp(owner, sink->store_id, STORE_ID_BYTES) == 0;
	beside->is_ours = beside->is_named || bytes == 0;
	return ADMIN_SINK_OK;
}

AdminSinkResult
ndjson_beside_open(AdminSink *sink, NdjsonBeside *beside, const NdjsonDirectory *directory)
{
	AdminSinkResult result;

	beside->directory = directory;
	beside->marker = beside->lock = -1;
	result = open_lock(sink, beside);
	return result == ADMIN_SINK_OK ? open_marker(sink, beside) : result;
}

static Size
marker_text(const NdjsonMarker *marker, char text[MARKER_BYTES + 1])
{
	memset(text, ' ', MARKER_BYTES);
	text[snprintf(text, MARKER_BYTES,
				  INT64_FORMAT " " INT64_FORMAT " %s " INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " %s %s",
				  marker->position_id, marker->tick_id, marker->nonce, marker->audit_id, marker->from,
				  marker->last_number, marker->chain, marker->file)] = ' ';
	text[MARKER_BYTES - 1] = '\n';
	return MARKER_BYTES;
}

/* Locks do not work across every network file system; the marker does. */
static bool
is_unchanged(const NdjsonBeside *beside)
{
	char		expected[MARKER_BYTES + 1];
	char		found[MARKER_BYTES];
	ssize_t		bytes = pread(beside->marker, found, MARKER_BYTES, 0);

	if (beside->last.position_id == 0)
		return bytes == 0;
	return bytes == (ssize_t) marker_text(&beside->last, expected) &&
		memcmp(found, expected, MARKER_BYTES) == 0;
}

AdminSinkResult
ndjson_marker_write(AdminSink *sink, NdjsonBeside *beside, const NdjsonMarker *marker, bool flush)
{
	char		text[MARKER_BYTES + 1];

	if (!is_unchanged(beside))
	{
		snprintf(sink->error, sizeof(sink->error),
				 "another cluster has written to directory \"%s\" for store %s; "
				 "two clusters must not share a directory", beside->directory->path, sink->store_id);
		return ADMIN_SINK_FENCED;
	}
	marker_text(marker, text);
	if (pwrite(beside->marker, text, MARKER_BYTES, 0) != MARKER_BYTES ||
		(flush && pg_fsync(beside->marker) < 0))
		return ndjson_outage(sink, "write marker in directory", beside->directory->path);
	beside->last = *marker;
	return ADMIN_SINK_OK;
}

AdminSinkResult
ndjson_take_over(AdminSink *sink, NdjsonBeside *beside)
{
	if (beside->is_named)
		return ADMIN_SINK_OK;
	if (pwrite(beside->lock, sink->store_id, STORE_ID_BYTES, 0) != STORE_ID_BYTES ||
		pg_fsync(beside->lock) < 0)
		return ndjson_outage(sink, "write lock in directory", beside->directory->path);
	beside->is_named = true;
	return ADMIN_SINK_OK;
}

void
ndjson_beside_close(NdjsonBeside *beside)
{
	if (beside->marker >= 0)
		close(beside->marker);
	if (beside->lock >= 0)
		close(beside->lock);
	beside->marker = beside->lock = -1;
}
