/*
 * ndjson.c
 *	  Appends batches to <database>-<first audit_id>.ndjson, exactly once.
 *
 * The position (file and offset) is committed in PostgreSQL after the file is flushed.  At start
 * the sink cuts off what a crash has left behind the position, and writes it again into a new file.
 * So bytes at an offset never change, and a reader that follows a file by offset misses no line.
 * It cuts only bytes that, by the marker beside the files, this store has written and not recorded.
 * A directory that is a copy, or that is used again after a while, keeps its files.
 *
 * Uses PostgreSQL's files and memory, but no tables and no transactions.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "sinks/ndjson/ndjson.h"
#include "sinks/ndjson/ndjson_lines.h"
#include "sinks/ndjson/ndjson_marker.h"
#include "sinks/ndjson/ndjson_place.h"
#include "sinks/ndjson/ndjson_seals.h"
#include "sinks/ndjson/ndjson_settings.h"

#define CHUNK_BYTES (1024 * 1024)
#define RESERVED_BYTES (1024 * 1024)
#define NAMES_TRIED 100000

typedef struct Ndjson
{
	NdjsonDirectory directory;
	NdjsonBeside beside;
	int			file;			/* -1: none is open, the next batch begins one */
	char		file_name[MAXPGPATH];
	off_t		offset;			/* end of what has been written */
	off_t		reserved;		/* room up to here is on the disk */
	NdjsonSeals seals;
} Ndjson;

static void
path_of(const Ndjson *state, const char *name, char *path)
{
	snprintf(path, MAXPGPATH, "%s/%s", state->directory.path, name);
}

/* Logs once per file, however often the sink is opened before it begins a new one. */
static void
log_letting_go(const char *path, const char *why)
{
	static char logged[MAXPGPATH] = "";

	if (strcmp(logged, path) == 0)
		return;
	strlcpy(logged, path, sizeof(logged));
	ereport(LOG, (errmsg("admin_ext: file \"%s\" %s, going on in a new one", path, why)));
}

/* Closes the file, and gives back reserved room that was not needed. */
static void
close_file(Ndjson *state)
{
	struct stat st;

	if (state->file >= 0)
	{
		if (state->reserved > state->offset && fstat(state->file, &st) == 0)
			(void) !ftruncate(state->file, st.st_size);
		close(state->file);
	}
	state->file = -1;
}

/*
 * Writes all bytes, or says why not; recovery cuts off what was written in vain.  The disk begins
 * to write while the rest is being copied, so that the flush has less to wait for.
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
ndjson_open(AdminSink *sink, AdminSinkPosition *seen)
{
	Ndjson	   *state = MemoryContextAllocZero(sink->context, sizeof(Ndjson));
	const NdjsonMarker *marker = &state->beside.last;
	AdminSinkResult result;

	sink->state = state;
	state->file = state->beside.marker = state->beside.lock = state->directory.fd = -1;
	strlcpy(state->directory.path, sink->setting("admin_ext.ndjson_directory"), sizeof(state->directory.path));
	result = ndjson_directory_open(sink, &state->directory);
	if (result == ADMIN_SINK_OK)
		result = ndjson_beside_open(sink, &state->beside, &state->directory);
	if (result != ADMIN_SINK_OK)
		return result;
	snprintf(sink->place, sizeof(sink->place), "directory \"%s\"", state->directory.path);
	sink->cannot_tell = ndjson_directory_travels(&state->directory);
	seen->position_id = marker->position_id;
	seen->tick_id = marker->tick_id;
	seen->audit_id = marker->audit_id;
	strlcpy(seen->nonce, marker->nonce, sizeof(seen->nonce));
	return ADMIN_SINK_OK;
}

/* Cuts the file to a length, which also gives back reserved room. */
static AdminSinkResult
cut_to(AdminSink *sink, int file, const char *name, off_t length)
{
	if (ftruncate(file, length) < 0 || pg_fsync(file) < 0)
		return ndjson_outage(sink, "truncate file", name);
	return ADMIN_SINK_OK;
}

/*
 * Cuts off a batch that was never recorded from the file that was begun for it.  The file stays,
 * because a reader may have read from it: other bytes must not appear under its name.
 */
static AdminSinkResult
cut_begun(AdminSink *sink, const NdjsonMarker *marker)
{
	Ndjson	   *state = sink->state;
	struct stat st;
	int			file;
	AdminSinkResult result = ndjson_file_open(sink, &state->directory, marker->file, 0, ndjson_mode_of_files(), &file);

	if (result != ADMIN_SINK_OK || file < 0)
		return result;
	if (fstat(file, &st) < 0)
		result = ndjson_outage(sink, "look at file", marker->file);
	else if (st.st_size > marker->from)
		result = cut_to(sink, file, marker->file, marker->from);
	close(file);
	return result;
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

static AdminSinkResult
stop_at_other_file(AdminSink *sink, const char *path, long long offset)
{
	snprintf(sink->error, sizeof(sink->error),
			 "file \"%s\" is not what was delivered to it (the bytes before %lld are others); restore it, "
			 "or call admin.resync_sink('%s', ...) with the number that admin.resync_proposal('%s') returns",
			 path, offset, sink->name, sink->name);
	sink->has_lost = true;
	return ADMIN_SINK_STOP;
}

static void
let_go(Ndjson *state, const char *path, const char *why)
{
	close_file(state);
	log_letting_go(path, why);
}

/* What the last recorded position and the marker say of the position's file. */
typedef struct Standing
{
	bool		is_here;		/* it was written to this directory, from this home */
	bool		is_vouched;		/* by the marker or the last batch's end: bytes behind are ours */
	bool		is_left;		/* a batch was under way: bytes behind the position may have been
								 * read */
	bool		may_differ;		/* an operator has decided */
} Standing;

/*
 * Continues with the file of the position, or lets it go.  A file that is gone was moved to an
 * archive.  A file of another length, in a directory that the position was not written to, is a
 * copy.  A file that was cut is finished.
 */
static AdminSinkResult
ndjson_reopen(AdminSink *sink, const NdjsonPlace *place, const Standing *standing)
{
	Ndjson	   *state = sink->state;
	char		path[MAXPGPATH];
	struct stat st;
	bool		is_whole;
	AdminSinkResult result = ndjson_file_open(sink, &state->directory, place->file, 0, ndjson_mode_of_files(), &state->file);

	path_of(state, place->file, path);
	if (result != ADMIN_SINK_OK)
		return result;
	if (state->file < 0)
	{
		log_letting_go(path, "is gone");
		return ADMIN_SINK_OK;
	}
	if (fstat(state->file, &st) < 0)
		return ndjson_outage(sink, "look at file", path);
	is_whole = st.st_size >= place->offset && ndjson_place_holds(state->file, place);
	if (!is_whole && standing->is_here && !standing->may_differ)
		return st.st_size < place->offset ? stop_at_short_file(sink, path, st.st_size, place->offset) :
			stop_at_other_file(sink, path, place->offset);
	if (!is_whole || (st.st_size > place->offset && !standing->is_vouched))
	{
		let_go(state, path, "was written elsewhere");
		return ADMIN_SINK_OK;
	}
	/* This also gives back room that a killed worker had reserved. */
	result = cut_to(sink, state->file, path, place->offset);
	if (result == ADMIN_SINK_OK && (standing->is_left || st.st_size > place->offset))
		let_go(state, path, "was left in the middle of a batch");
	strlcpy(state->file_name, place->file, sizeof(state->file_name));
	state->offset = state->reserved = place->offset;
	return result;
}

static AdminSinkResult
ndjson_recover(AdminSink *sink, AdminSinkPosition *position)
{
	Ndjson	   *state = sink->state;
	const NdjsonMarker *marker = &state->beside.last;
	NdjsonPlace place = {0};
	Standing	standing = {.may_differ = position->is_resync};
	bool		was_named = state->beside.is_named;
	bool		is_home;
	bool		is_marked;
	AdminSinkResult result;

	ndjson_place_read(position->detail, &place);
	ndjson_seals_read(&state->seals, position);
	/* Each server may have a directory of its own. */
	sink->cannot_tell |= !was_named || marker->position_id < place.position_id;
	result = ndjson_take_over(sink, &state->beside);
	if (result != ADMIN_SINK_OK)
		return result;
	/* Another store has written to files of these names since: they are left as they are. */
	if (!state->beside.is_ours)
		return ADMIN_SINK_OK;
	/* A batch was being written, or an operator recorded a position before that of the batch. */
	standing.is_left = marker->position_id > place.position_id;
	if (standing.is_left && strcmp(marker->file, place.file) != 0)
		result = cut_begun(sink, marker);
	if (result != ADMIN_SINK_OK || place.file[0] == '\0')
		return result;
	is_home = strcmp(place.home, sink->home) == 0;
	is_marked = marker->position_id == 0 ? is_home : marker->position_id >= place.position_id;

	/*
	 * A power loss may leave an older marker.  Then the end of the last batch, found where it
	 * should be, identifies the file.
	 */
	standing.is_vouched = is_marked || (is_home && was_named && place.tail_bytes > 0);
	standing.is_here = is_home && is_marked;
	if (standing.is_here)
		ndjson_seals_expect(&state->seals);
	return ndjson_reopen(sink, &place, &standing);
}

/*
 * Begins a new file.  A file that has its name already, from an earlier store or cut to nothing, is
 * left as it is.
 */
static AdminSinkResult
begin_file(AdminSink *sink, const AdminSinkBatch *batch)
{
	Ndjson	   *state = sink->state;
	AdminSinkResult result = ADMIN_SINK_OK;

	ndjson_seals_finish(&state->seals, &state->directory, state->file);
	close_file(state);
	for (int attempt = 0; attempt < NAMES_TRIED && result == ADMIN_SINK_OK && state->file < 0; attempt++)
	{
		ndjson_file_name(sink->database, batch->records[0].audit_id, attempt, state->file_name);
		result = ndjson_file_open(sink, &state->directory, state->file_name, O_CREAT | O_EXCL,
								  ndjson_mode_of_files(), &state->file);
	}
	state->offset = state->reserved = 0;
	ndjson_seals_begin(&state->seals, state->file_name, batch);
	if (result == ADMIN_SINK_OK && state->file < 0)
	{
		snprintf(sink->error, sizeof(sink->error),
				 "directory \"%s\" has %d files that begin with audit_id " INT64_FORMAT "; move them away",
				 state->directory.path, NAMES_TRIED, batch->records[0].audit_id);
		result = ADMIN_SINK_RETRY;
	}
	return result;
}

/*
 * Finds out that the disk is full before a byte is written.  Otherwise bytes that a reader has seen
 * would have to be cut off.
 */
static AdminSinkResult
ndjson_reserve(AdminSink *sink, Size length)
{
	Ndjson	   *state = sink->state;
	off_t		end = state->offset + length;

	if (end <= state->reserved)
		return ADMIN_SINK_OK;
	if (ndjson_file_reserve(state->file, state->offset, Max((off_t) length, RESERVED_BYTES)))
		state->reserved = state->offset + Max((off_t) length, RESERVED_BYTES);
	else if (ndjson_file_reserve(state->file, state->offset, length))
		state->reserved = end;
	else
		return ndjson_outage(sink, "write file", state->file_name);
	return ADMIN_SINK_OK;
}

/*
 * Is the open file still in its place?  If it was moved away, the next rows would follow it there.
 * *size is that of the open file; -1: not known.
 */
static bool
is_still_there(const Ndjson *state, off_t * size)
{
	struct stat by_name;
	struct stat open;

	*size = fstat(state->file, &open) == 0 ? open.st_size : -1;
	return *size >= 0 && fstatat(state->directory.fd, state->file_name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
		by_name.st_dev == open.st_dev && by_name.st_ino == open.st_ino;
}

/* Writes the marker before the batch, and flushes the directory entry of a new file. */
static AdminSinkResult
ndjson_mark(AdminSink *sink, const AdminSinkBatch *batch, bool begins)
{
	Ndjson	   *state = sink->state;
	NdjsonMarker marker = {0};
	AdminSinkResult result;

	marker.position_id = batch->position.position_id;
	marker.tick_id = batch->position.tick_id;
	strlcpy(marker.nonce, batch->position.nonce, sizeof(marker.nonce));
	marker.audit_id = batch->position.audit_id;
	marker.last_number = batch->position.last_number;
	strlcpy(marker.chain, batch->chain_after, sizeof(marker.chain));
	strlcpy(marker.file, state->file_name, sizeof(marker.file));
	result = ndjson_marker_write(sink, &state->beside, &marker, begins);
	if (result == ADMIN_SINK_OK && begins)
		result = ndjson_directory_fsync(sink, &state->directory);
	return result;
}

static AdminSinkResult
ndjson_deliver(AdminSink *sink, AdminSinkBatch *batch)
{
	Ndjson	   *state = sink->state;
	AdminSinkResult result = ndjson_directory_look(sink, &state->directory);
	off_t		size = 0;
	bool		begins = state->file < 0 || !is_still_there(state, &size) ||
	state->offset >= (off_t) ndjson_rotate_size_kb * 1024 || ndjson_seals_are_many(&state->seals);
	bool		has_begun = false;

	if (result == ADMIN_SINK_OK)
		result = ndjson_seals_settle(sink, &state->seals, &state->directory);
	if (result == ADMIN_SINK_OK && begins)
	{
		result = begin_file(sink, batch);
		has_begun = result == ADMIN_SINK_OK;
	}
	else if (result == ADMIN_SINK_OK && size < state->offset)
		result = stop_at_short_file(sink, state->file_name, size, state->offset);
	if (result == ADMIN_SINK_OK)
		result = ndjson_reserve(sink, batch->length);
	if (result == ADMIN_SINK_OK)
		result = ndjson_mark(sink, batch, begins);
	if (result != ADMIN_SINK_OK)
	{
		/* The new file is empty: no reader has seen a line of it, and its name can be used again. */
		if (has_begun)
			(void) unlinkat(state->directory.fd, state->file_name, 0);
		return result;
	}
	if (!write_all(state->file, batch->data, batch->length, state->offset))
	{
		result = ndjson_outage(sink, "write file", state->file_name);
		/* Cuts off half a line at once, without waiting for recovery. */
		(void) !ftruncate(state->file, state->offset);
		return result;
	}
	state->offset += batch->length;
	ndjson_seals_add(&state->seals, batch);
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
		/* The batch goes to another file now, so this one, wherever it is, must not hold it, too. */
		if (size >= state->offset)
			(void) !ftruncate(state->file, state->offset - (off_t) batch->length);
		snprintf(sink->error, sizeof(sink->error),
				 "file \"%s\" was moved away, removed or cut while it was being written", state->file_name);
		return ADMIN_SINK_RETRY;
	}
	ndjson_place_write(batch, state->offset, sink->home, state->file_name);
	ndjson_seals_record(&state->seals, batch);
	return ADMIN_SINK_OK;
}

/* Writes the line of a finished file once the position is recorded, even without a new batch. */
static AdminSinkResult
ndjson_idle(AdminSink *sink)
{
	Ndjson	   *state = sink->state;

	return sink->is_recorded ? ndjson_seals_settle(sink, &state->seals, &state->directory) : ADMIN_SINK_OK;
}

static void
ndjson_close(AdminSink *sink)
{
	Ndjson	   *state = sink->state;

	sink->state = NULL;
	if (state == NULL)
		return;
	close_file(state);
	ndjson_seals_close(&state->seals);
	ndjson_beside_close(&state->beside);
	ndjson_directory_close(&state->directory);
}

static const AdminSinkCallbacks callbacks = {
	.api_version = ADMIN_SINK_API_VERSION,
	.open = ndjson_open,
	.recover = ndjson_recover,
	.deliver = ndjson_deliver,
	.confirm = ndjson_confirm,
	.idle = ndjson_idle,
	.close = ndjson_close,
};

const AdminSinkCallbacks *
ndjson_sink_init(void)
{
	return &callbacks;
}
