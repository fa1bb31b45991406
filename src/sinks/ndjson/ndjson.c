/*
 * ndjson.c
 *	  Appends batches to <database>-<first audit_id>.ndjson, exactly once.
 *
 * The position (file and offset) is committed in PostgreSQL after the file is
 * flushed; on start the file is cut back to it, so what a crash left behind the
 * position is written again and never twice.  A marker beside the files,
 * <store id>.position, says which tick was last written, and to which file from
 * which offset: it tells a database that lost commits, and finds a file that was
 * begun and never recorded.
 *
 * Knows PostgreSQL's files and memory, no tables and no transactions.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "sinks/ndjson/ndjson.h"

#define MARKER_BYTES	512

char	   *ndjson_directory = NULL;
int			ndjson_rotate_size_kb = 256 * 1024;

typedef struct Ndjson
{
	char		directory[MAXPGPATH];
	int			file;			/* -1: none is open */
	char		file_name[MAXPGPATH];
	off_t		offset;			/* end of what has been written */
	off_t		begun_at;		/* where this store's part of the file begins */
	char		marker_name[MAXPGPATH];
} Ndjson;

/* What the marker says.  file is empty when there is none. */
typedef struct Marker
{
	int64		tick_id;
	int64		audit_id;
	char		nonce[37];
	char		file[MAXPGPATH];
	int64		from;
} Marker;

static AdminSinkResult
outage(AdminSink *sink, const char *what, const char *path)
{
	snprintf(sink->error, sizeof(sink->error), "could not %s \"%s\": %s", what, path,
			 strerror(errno));
	return ADMIN_SINK_RETRY;
}

static void
path_of(const Ndjson *state, const char *name, char *path)
{
	snprintf(path, MAXPGPATH, "%s/%s", state->directory, name);
}

/* A database may be named anything; a file may not. */
static void
name_file(const char *database, int64 audit_id, char *name)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const unsigned char *c = (const unsigned char *) database; *c; c++)
	{
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
			*c == '_' || *c == '-' || *c == '.')
			appendStringInfoChar(&out, *c);
		else
			appendStringInfo(&out, "%%%02X", *c);
	}
	snprintf(name, MAXPGPATH, "%s-" INT64_FORMAT ".ndjson", out.data, audit_id);
	pfree(out.data);
}

static void
close_file(Ndjson *state)
{
	if (state->file >= 0)
		close(state->file);
	state->file = -1;
}

/* Writes all of it or says why not; what was written in vain is cut off by recovery. */
static bool
write_all(int file, const char *data, Size length, off_t offset)
{
	while (length > 0)
	{
		ssize_t		written = pwrite(file, data, length, offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			if (written == 0)
				errno = ENOSPC;
			return false;
		}
		data += written;
		length -= written;
		offset += written;
	}
	return true;
}

/* One sector, padded, so that it is replaced as a whole. */
static AdminSinkResult
write_marker(AdminSink *sink, const AdminSinkPosition *position, bool flush)
{
	Ndjson	   *state = sink->state;
	char		path[MAXPGPATH];
	char		text[MARKER_BYTES + 1];
	int			file;
	bool		good;

	path_of(state, state->marker_name, path);
	memset(text, ' ', MARKER_BYTES);
	text[snprintf(text, MARKER_BYTES, INT64_FORMAT " %s " INT64_FORMAT " " INT64_FORMAT " %s",
				  position->tick_id, position->nonce, position->audit_id, (int64) state->begun_at,
				  state->file_name)] = ' ';
	text[MARKER_BYTES - 1] = '\n';
	file = BasicOpenFilePerm(path, O_RDWR | O_CREAT | PG_BINARY, pg_file_create_mode);
	if (file < 0)
		return outage(sink, "open file", path);
	good = write_all(file, text, MARKER_BYTES, 0) && (!flush || pg_fsync(file) == 0);
	close(file);
	if (!good)
		return outage(sink, "write file", path);
	return ADMIN_SINK_OK;
}

static AdminSinkResult
read_marker(AdminSink *sink, Marker *marker)
{
	Ndjson	   *state = sink->state;
	char		path[MAXPGPATH];
	char		text[MARKER_BYTES + 1] = "";
	int			file;
	ssize_t		bytes;

	memset(marker, 0, sizeof(*marker));
	path_of(state, state->marker_name, path);
	file = BasicOpenFilePerm(path, O_RDONLY | PG_BINARY, 0);
	if (file < 0)
		return errno == ENOENT ? ADMIN_SINK_OK : outage(sink, "open file", path);
	bytes = pread(file, text, MARKER_BYTES, 0);
	close(file);
	if (bytes < 0)
		return outage(sink, "read file", path);
	if (bytes == 0)
		return ADMIN_SINK_OK;
	if (sscanf(text, INT64_FORMAT " %36s " INT64_FORMAT " " INT64_FORMAT " %511s",
			   &marker->tick_id, marker->nonce, &marker->audit_id, &marker->from,
			   marker->file) != 5)
	{
		snprintf(sink->error, sizeof(sink->error),
				 "file \"%s\" is damaged; remove it, then call admin.resync_sink()", path);
		return ADMIN_SINK_STOP;
	}
	return ADMIN_SINK_OK;
}

static AdminSinkResult
ndjson_open(AdminSink *sink, AdminSinkPosition *seen)
{
	Ndjson	   *state = MemoryContextAllocZero(sink->context, sizeof(Ndjson));
	Marker		marker;
	AdminSinkResult result;

	sink->state = state;
	state->file = -1;
	strlcpy(state->directory, ndjson_directory, sizeof(state->directory));
	snprintf(state->marker_name, sizeof(state->marker_name), "%s.position", sink->store_id);
	if (MakePGDirectory(state->directory) < 0 && errno != EEXIST)
		return outage(sink, "create directory", state->directory);
	if (access(state->directory, W_OK | X_OK) < 0)
		return outage(sink, "write to directory", state->directory);
	result = read_marker(sink, &marker);
	seen->tick_id = marker.tick_id;
	seen->audit_id = marker.audit_id;
	strlcpy(seen->nonce, marker.nonce, sizeof(seen->nonce));
	return result;
}

static AdminSinkResult
cut(AdminSink *sink, const char *name, off_t length)
{
	Ndjson	   *state = sink->state;
	char		path[MAXPGPATH];

	path_of(state, name, path);
	if (truncate(path, length) < 0 && errno != ENOENT)
		return outage(sink, "truncate file", path);
	return ADMIN_SINK_OK;
}

/* Opens a file at an offset; a file that is gone (moved to an archive) is let go. */
static AdminSinkResult
reopen(AdminSink *sink, const char *name, off_t offset, bool is_from_elsewhere)
{
	Ndjson	   *state = sink->state;
	char		path[MAXPGPATH];
	struct stat st;

	path_of(state, name, path);
	state->file = BasicOpenFilePerm(path, O_RDWR | PG_BINARY, 0);
	if (state->file < 0)
	{
		if (errno != ENOENT)
			return outage(sink, "open file", path);
		ereport(LOG, (errmsg("admin_ext: file \"%s\" is gone, going on in a new one", path)));
		return ADMIN_SINK_OK;
	}
	if (fstat(state->file, &st) < 0)
		return outage(sink, "stat file", path);
	if (st.st_size < offset && is_from_elsewhere)
	{
		/* A promoted standby's copy of the directory: the file itself is on another machine. */
		close_file(state);
		ereport(LOG, (errmsg("admin_ext: file \"%s\" was written elsewhere, going on in a new one", path)));
		return ADMIN_SINK_OK;
	}
	if (st.st_size < offset)
	{
		close_file(state);
		snprintf(sink->error, sizeof(sink->error),
				 "file \"%s\" is shorter than what was delivered to it (%lld of %lld bytes); "
				 "call admin.resync_sink() to decide where to go on",
				 path, (long long) st.st_size, (long long) offset);
		return ADMIN_SINK_STOP;
	}
	strlcpy(state->file_name, name, sizeof(state->file_name));
	state->offset = offset;
	if (ftruncate(state->file, offset) < 0 || pg_fsync(state->file) < 0)
		return outage(sink, "truncate file", path);
	return ADMIN_SINK_OK;
}

/* detail is "<offset> <home> <file>", or empty before the first file. */
static AdminSinkResult
ndjson_recover(AdminSink *sink, AdminSinkPosition *position)
{
	long long	offset = 0;
	char		name[MAXPGPATH] = "";
	char		home[64] = "";
	Marker		marker;
	AdminSinkResult result = read_marker(sink, &marker);

	if (result != ADMIN_SINK_OK)
		return result;
	if (position->detail[0] != '\0' &&
		sscanf(position->detail, "%lld %63s %1023s", &offset, home, name) != 3)
		elog(ERROR, "malformed position \"%s\"", position->detail);
	/* A file begun after the position was recorded holds nothing that counts. */
	if (marker.file[0] != '\0' && strcmp(marker.file, name) != 0)
	{
		result = cut(sink, marker.file, marker.from);
		if (result != ADMIN_SINK_OK)
			return result;
	}
	return name[0] == '\0' ? ADMIN_SINK_OK : reopen(sink, name, offset, strcmp(home, sink->home) != 0);
}

/* A file of this name from an earlier store is gone on with, never overwritten. */
static AdminSinkResult
begin_file(AdminSink *sink, const AdminSinkBatch *batch)
{
	Ndjson	   *state = sink->state;
	char		path[MAXPGPATH];
	struct stat st;

	close_file(state);
	name_file(sink->database, batch->records[0].audit_id, state->file_name);
	path_of(state, state->file_name, path);
	state->file = BasicOpenFilePerm(path, O_RDWR | O_CREAT | PG_BINARY, pg_file_create_mode);
	if (state->file < 0 || fstat(state->file, &st) < 0)
		return outage(sink, "create file", path);
	state->offset = st.st_size;
	fsync_fname(state->directory, true);
	state->begun_at = state->offset;
	return write_marker(sink, &batch->position, true);
}

static AdminSinkResult
ndjson_deliver(AdminSink *sink, AdminSinkBatch *batch)
{
	Ndjson	   *state = sink->state;
	AdminSinkResult result = ADMIN_SINK_OK;

	if (state->file < 0 || state->offset >= (off_t) ndjson_rotate_size_kb * 1024)
		result = begin_file(sink, batch);
	else
		result = write_marker(sink, &batch->position, false);
	if (result != ADMIN_SINK_OK)
		return result;
	if (!write_all(state->file, batch->data, batch->length, state->offset))
	{
		result = outage(sink, "write file", state->file_name);
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

	if (pg_fdatasync(state->file) < 0)
		return outage(sink, "fsync file", state->file_name);
	snprintf(batch->position.detail, sizeof(batch->position.detail), "%lld %s %s",
			 (long long) state->offset, sink->home, state->file_name);
	return ADMIN_SINK_OK;
}

static void
ndjson_close(AdminSink *sink)
{
	if (sink->state != NULL)
		close_file(sink->state);
	sink->state = NULL;
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
