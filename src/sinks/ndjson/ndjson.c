/*
 * ndjson.c
 *	  Appends batches to <database>-<first audit_id>.ndjson, exactly once.
 *
 * The position (file and offset) is committed in PostgreSQL after the file is
 * flushed; on start the file is cut back to it, so what a crash left behind the
 * position is written again and never twice.  Cut is only what the marker beside the
 * files says was written by this store and not recorded: a directory that is a copy, or
 * was used and left and used again, keeps what it has.
 *
 * Knows PostgreSQL's files and memory, no tables and no transactions.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "sinks/ndjson/ndjson.h"
#include "sinks/ndjson/ndjson_marker.h"

#define CHUNK_BYTES (1024 * 1024)

char	   *ndjson_directory = NULL;
int			ndjson_rotate_size_kb = 256 * 1024;

typedef struct Ndjson
{
	char		directory[MAXPGPATH];
	NdjsonBeside beside;
	int			file;			/* -1: none is open */
	char		file_name[MAXPGPATH];
	off_t		offset;			/* end of what has been written */
	off_t		begun_at;		/* where this store's part of the file begins */
} Ndjson;

/* What the position says, taken apart: "<position_id> <offset> <home> <file>". */
typedef struct Place
{
	long long	position_id;	/* of the batch that was written last */
	long long	offset;			/* where it ends */
	char		home[64];
	char		file[MAXPGPATH];	/* empty before the first one */
} Place;

static void
path_of(const Ndjson *state, const char *name, char *path)
{
	snprintf(path, MAXPGPATH, "%s/%s", state->directory, name);
}

/* Once per file, however often the sink is opened before it has a new one. */
static void
log_letting_go(const char *path, const char *why)
{
	static char logged[MAXPGPATH] = "";

	if (strcmp(logged, path) == 0)
		return;
	strlcpy(logged, path, sizeof(logged));
	ereport(LOG, (errmsg("admin_ext: file \"%s\" %s, going on in a new one", path, why)));
}

static void
close_file(Ndjson *state)
{
	if (state->file >= 0)
		close(state->file);
	state->file = -1;
}

/*
 * Writes all of it or says why not; what was written in vain is cut off by recovery.  The
 * disk is set to work while the rest is being copied, so that the flush has less to wait for.
 */
static bool
write_all(int file, const char *data, Size length, off_t offset)
{
	while (length > 0)
	{
		ssize_t		written = pwrite(file, data, Min(length, CHUNK_BYTES), offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			if (written == 0)
				errno = ENOSPC;
			return false;
		}
		if (written == CHUNK_BYTES)
			pg_flush_data(file, offset, written);
		data += written;
		length -= written;
		offset += written;
	}
	return true;
}

static AdminSinkResult
make_directory(AdminSink *sink, const char *path)
{
	char		parent[MAXPGPATH];

	if (MakePGDirectory(path) < 0)
		return errno == EEXIST ? ADMIN_SINK_OK : ndjson_outage(sink, "create directory", path);
	strlcpy(parent, path, sizeof(parent));
	get_parent_directory(parent);
	return ndjson_fsync_directory(sink, parent[0] ? parent : ".");
}

static AdminSinkResult
ndjson_open(AdminSink *sink, AdminSinkPosition *seen)
{
	Ndjson	   *state = MemoryContextAllocZero(sink->context, sizeof(Ndjson));
	const NdjsonMarker *marker = &state->beside.last;
	AdminSinkResult result;

	sink->state = state;
	state->file = state->beside.marker = state->beside.lock = -1;
	strlcpy(state->directory, sink->setting("admin_ext.ndjson_directory"), sizeof(state->directory));
	result = make_directory(sink, state->directory);
	if (result == ADMIN_SINK_OK)
		result = ndjson_beside_open(sink, &state->beside, state->directory);
	if (result != ADMIN_SINK_OK)
		return result;
	snprintf(sink->place, sizeof(sink->place), "directory \"%s\"", state->directory);
	seen->position_id = marker->position_id;
	seen->tick_id = marker->tick_id;
	seen->audit_id = marker->audit_id;
	strlcpy(seen->nonce, marker->nonce, sizeof(seen->nonce));
	return ADMIN_SINK_OK;
}

/* A file begun for a batch that was never recorded holds nothing of this store's that counts. */
static AdminSinkResult
cut(AdminSink *sink, const char *name, off_t length)
{
	char		path[MAXPGPATH];

	path_of(sink->state, name, path);
	if (truncate(path, length) < 0 && errno != ENOENT)
		return ndjson_outage(sink, "truncate file", path);
	return ADMIN_SINK_OK;
}

static AdminSinkResult
stop_at_short_file(AdminSink *sink, const char *path, long long size, long long offset)
{
	snprintf(sink->error, sizeof(sink->error),
			 "file \"%s\" is shorter than what was delivered to it (%lld of %lld bytes); restore it, "
			 "or call admin.resync_sink('%s', ...) with the number that admin.resync_proposal('%s') returns",
			 path, size, offset, sink->name, sink->name);
	sink->has_lost = true;
	return ADMIN_SINK_STOP;
}

/*
 * Goes on with the file of the position, or lets it go: one that is gone was moved to
 * an archive; one of another length in a directory that the position was not written
 * to is a copy.  was_written_here: the marker says that it is none, which after a failover
 * decides about what is too long; is_here: this server wrote it besides.
 */
static AdminSinkResult
reopen(AdminSink *sink, const Place *place, bool was_written_here, bool is_here, bool may_be_short)
{
	Ndjson	   *state = sink->state;
	char		path[MAXPGPATH];
	struct stat st;

	path_of(state, place->file, path);
	state->file = BasicOpenFilePerm(path, O_RDWR | PG_BINARY, 0);
	if (state->file < 0 && errno == ENOENT)
	{
		log_letting_go(path, "is gone");
		return ADMIN_SINK_OK;
	}
	if (state->file < 0 || fstat(state->file, &st) < 0)
		return ndjson_outage(sink, "open file", path);
	if (st.st_size < place->offset && is_here && !may_be_short)
		return stop_at_short_file(sink, path, st.st_size, place->offset);
	if (st.st_size < place->offset || (st.st_size > place->offset && !was_written_here && !is_here))
	{
		close_file(state);
		log_letting_go(path, "was written elsewhere");
		return ADMIN_SINK_OK;
	}
	strlcpy(state->file_name, place->file, sizeof(state->file_name));
	state->offset = place->offset;
	if (ftruncate(state->file, state->offset) < 0 || pg_fsync(state->file) < 0)
		return ndjson_outage(sink, "truncate file", path);
	return ADMIN_SINK_OK;
}

static AdminSinkResult
ndjson_recover(AdminSink *sink, AdminSinkPosition *position)
{
	Ndjson	   *state = sink->state;
	const NdjsonMarker *marker = &state->beside.last;
	Place		place = {0};
	bool		was_written_here;
	bool		is_here;
	AdminSinkResult result = ndjson_take_over(sink, &state->beside);

	if (result != ADMIN_SINK_OK)
		return result;
	if (position->detail[0] != '\0' &&
		sscanf(position->detail, "%lld %lld %63s %1023s", &place.position_id, &place.offset,
			   place.home, place.file) != 4)
		elog(ERROR, "malformed position \"%s\"", position->detail);
	/* Another store has written to files of these names since: they are left as they are. */
	if (!state->beside.is_ours)
		return ADMIN_SINK_OK;
	/* A batch that was being written, or whose position an operator's came before. */
	if (marker->position_id > place.position_id && strcmp(marker->file, place.file) != 0)
		result = cut(sink, marker->file, marker->from);
	if (result != ADMIN_SINK_OK || place.file[0] == '\0')
		return result;
	was_written_here = marker->position_id > 0 && marker->position_id >= place.position_id;
	is_here = strcmp(place.home, sink->home) == 0 && (marker->position_id == 0 || was_written_here);
	return reopen(sink, &place, was_written_here, is_here, position->is_resync);
}

/* A file of this name from an earlier store is gone on with, never overwritten. */
static AdminSinkResult
begin_file(AdminSink *sink, const AdminSinkBatch *batch)
{
	Ndjson	   *state = sink->state;
	char		database[MAXPGPATH];
	char		path[MAXPGPATH];
	char		last = '\n';
	struct stat st;

	close_file(state);
	ndjson_encode_name(sink->database, database, sizeof(database));
	snprintf(state->file_name, MAXPGPATH, "%s-" INT64_FORMAT ".ndjson", database,
			 batch->records[0].audit_id);
	path_of(state, state->file_name, path);
	state->file = BasicOpenFilePerm(path, O_RDWR | O_CREAT | PG_BINARY, pg_file_create_mode);
	if (state->file < 0 || fstat(state->file, &st) < 0 ||
		(st.st_size > 0 && pread(state->file, &last, 1, st.st_size - 1) != 1))
		return ndjson_outage(sink, "create file", path);
	if (last != '\n')
	{
		snprintf(sink->error, sizeof(sink->error),
				 "file \"%s\" ends in half a line of somebody else's; move it away", path);
		return ADMIN_SINK_RETRY;
	}
	state->offset = state->begun_at = st.st_size;
	return ADMIN_SINK_OK;
}

/*
 * Moved away while it is open, a file would take with it what is written from now on.
 * *size is that of the open file, -1 when it is not known.
 */
static bool
is_still_there(const Ndjson *state, off_t *size)
{
	char		path[MAXPGPATH];
	struct stat by_name;
	struct stat open;

	path_of(state, state->file_name, path);
	*size = fstat(state->file, &open) == 0 ? open.st_size : -1;
	return *size >= 0 && stat(path, &by_name) == 0 &&
		by_name.st_dev == open.st_dev && by_name.st_ino == open.st_ino;
}

static AdminSinkResult
ndjson_deliver(AdminSink *sink, AdminSinkBatch *batch)
{
	Ndjson	   *state = sink->state;
	NdjsonMarker marker = {0};
	AdminSinkResult result = ADMIN_SINK_OK;
	off_t		size = 0;
	bool		begins = state->file < 0 || !is_still_there(state, &size) ||
		state->offset >= (off_t) ndjson_rotate_size_kb * 1024;

	if (begins)
		result = begin_file(sink, batch);
	else if (size < state->offset)
		result = stop_at_short_file(sink, state->file_name, size, state->offset);
	if (result != ADMIN_SINK_OK)
		return result;
	marker.position_id = batch->position.position_id;
	marker.tick_id = batch->position.tick_id;
	strlcpy(marker.nonce, batch->position.nonce, sizeof(marker.nonce));
	marker.audit_id = batch->position.audit_id;
	marker.from = state->begun_at;
	strlcpy(marker.file, state->file_name, sizeof(marker.file));
	result = ndjson_marker_write(sink, &state->beside, &marker, begins);
	if (result == ADMIN_SINK_OK && begins)
		result = ndjson_fsync_directory(sink, state->directory);
	if (result != ADMIN_SINK_OK)
		return result;
	if (!write_all(state->file, batch->data, batch->length, state->offset))
	{
		result = ndjson_outage(sink, "write file", state->file_name);
		/* Half a line is not left behind, not even until recovery cuts it off. */
		(void) !ftruncate(state->file, state->offset);
		return result;
	}
	state->offset += batch->length;
	return ADMIN_SINK_OK;
}

static AdminSinkResult
ndjson_confirm(AdminSink *sink, AdminSinkBatch *batch)
{
	Ndjson	   *state = sink->state;
	off_t		size;

	if (pg_fdatasync(state->file) < 0)
		return ndjson_outage(sink, "fsync file", state->file_name);
	if (!is_still_there(state, &size) || size < state->offset)
	{
		/* It goes to another file now: wherever this one is, it is not to hold the batch as well. */
		if (size >= state->offset)
			(void) !ftruncate(state->file, state->offset - (off_t) batch->length);
		snprintf(sink->error, sizeof(sink->error),
				 "file \"%s\" was moved away, removed or cut while it was being written", state->file_name);
		return ADMIN_SINK_RETRY;
	}
	snprintf(batch->position.detail, sizeof(batch->position.detail), "%lld %lld %s %s",
			 (long long) batch->position.position_id, (long long) state->offset, sink->home,
			 state->file_name);
	return ADMIN_SINK_OK;
}

static void
ndjson_close(AdminSink *sink)
{
	Ndjson	   *state = sink->state;

	sink->state = NULL;
	if (state == NULL)
		return;
	close_file(state);
	ndjson_beside_close(&state->beside);
}

static const AdminSinkCallbacks callbacks = {
	.api_version = ADMIN_SINK_API_VERSION,
	.open = ndjson_open,
	.recover = ndjson_recover,
	.deliver = ndjson_deliver,
	.confirm = ndjson_confirm,
	.close = ndjson_close,
};

const AdminSinkCallbacks *
ndjson_sink_init(void)
{
	return &callbacks;
}
