/*
 * ndjson_lines.c
 *	  Writes the line of a finished file to <database>.seals.ndjson.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "path_component.h"
#include "sinks/ndjson/ndjson_lines.h"
#include "sinks/ndjson/ndjson_seals.h"

#define ENDING		".seals.ndjson"
/*
 * A new file gets this name until it is renamed, so that the final name is never an empty file's.
 */
#define BEGUN_ENDING	ENDING ".new"
#define BLOCK_BYTES	8192

/* The file of lines, while one is written. */
typedef struct Lines
{
	AdminSink  *sink;
	const NdjsonDirectory *directory;
	char		name[MAXPGPATH];
	char		begun_name[MAXPGPATH];
	int			fd;				/* -1: there is no file of this name */
	int64		size;
} Lines;

static void
append_batches(AdminSink *sink, StringInfo line, const NdjsonContent *content)
{
	int64	   *counts;
	int			batches = sink->counts(sink, content->first, content->last, &counts);

	if (batches == 0)
	{
		/* Links were removed from the table: readers have only the numbers. */
		appendStringInfoString(line, "null");
		return;
	}
	for (int i = 0; i < batches; i++)
		appendStringInfo(line, "%c" INT64_FORMAT, i == 0 ? '[' : ',', counts[i]);
	appendStringInfoChar(line, ']');
}

/* Names of files are of plain characters. */
static void
make_line(AdminSink *sink, const NdjsonContent *content, StringInfo line)
{
	const AdminSinkContinued *continued = sink->continued;

	initStringInfo(line);
	appendStringInfo(line, "{\"v\":1,\"store\":\"%s\",\"sink\":\"%s\",\"file\":\"%s\",\"bytes\":" INT64_FORMAT ",\"sha256\":",
					 sink->store_id, sink->name, content->file, content->bytes);
	if (content->sha256[0] == '-')
		appendStringInfoString(line, "null");
	else
		appendStringInfo(line, "\"%s\"", content->sha256);
	appendStringInfo(line, ",\"first\":" INT64_FORMAT ",\"last\":" INT64_FORMAT
					 ",\"chain_before\":\"%s\",\"chain_after\":\"%s\",\"batches\":",
					 content->first, content->last, content->chain_before, content->chain_after);
	append_batches(sink, line, content);
	if (content->first == 1 && continued->store_id[0] != '\0')
		appendStringInfo(line, ",\"continues\":{\"store\":\"%s\",\"last\":" INT64_FORMAT ",\"chain\":\"%s\"}",
						 continued->store_id, continued->last_number, continued->chain);
	appendStringInfoString(line, "}\n");
}

static AdminSinkResult
lines_outage(const Lines *lines, const char *what)
{
	char		path[2 * MAXPGPATH];

	snprintf(path, sizeof(path), "%s/%s", lines->directory->path, lines->name);
	return ndjson_outage(lines->sink, what, path);
}

static AdminSinkResult
lines_stop(const Lines *lines, const char *what, int64 at)
{
	snprintf(lines->sink->error, sizeof(lines->sink->error),
			 "file \"%s/%s\" %s " INT64_FORMAT "; find out who else writes to it, then restore it, or move it away",
			 lines->directory->path, lines->name, what, at);
	return ADMIN_SINK_STOP;
}

/* Does the file have these bytes at this offset? */
static bool
lines_hold(const Lines *lines, int64 offset, const char *data, Size length)
{
	char	   *found = palloc(length + 1);
	bool		are_equal = pread(lines->fd, found, length, offset) == (ssize_t) length && memcmp(found, data, length) == 0;

	pfree(found);
	return are_equal;
}

/* Behind the known lines, the file may only have this line or its beginning. */
static AdminSinkResult
check_known_end(const Lines *lines, const StringInfo line, int64 end)
{
	int64		more = lines->size - end;

	if (more < 0)
		return lines_stop(lines, "is shorter than what was written to it: its lines end with byte", end);
	if (end > 0 && !lines_hold(lines, end - 1, "\n", 1))
		return lines_stop(lines, "is not what was written to it: no line ends with byte", end);
	if (more > line->len || !lines_hold(lines, end, line->data, more))
		return lines_stop(lines, "holds what was not written by this worker, from byte", end);
	return ADMIN_SINK_OK;
}

/* Finds the end of the last whole line. */
static AdminSinkResult
find_last_line(const Lines *lines, int64 *end)
{
	char		block[BLOCK_BYTES];

	for (*end = lines->size; *end > 0;)
	{
		int64		from = Max(*end - BLOCK_BYTES, 0);
		int			length = *end - from;

		CHECK_FOR_INTERRUPTS();
		if (pread(lines->fd, block, length, from) != length)
			return lines_outage(lines, "read file");
		while (length > 0 && block[length - 1] != '\n')
			length--;
		*end = from + length;
		if (length > 0)
			break;
	}
	return ADMIN_SINK_OK;
}

/* Finds the unknown end of the lines in a copied directory, or one that another store has used. */
static AdminSinkResult
find_end(const Lines *lines, const StringInfo line, int64 *end)
{
	AdminSinkResult result = find_last_line(lines, end);

	if (result == ADMIN_SINK_OK && *end >= line->len && lines_hold(lines, *end - line->len, line->data, line->len))
		*end -= line->len;
	return result;
}

/*
 * Was the file begun again with this line before a crash?  The known end is the moved file's then.
 */
static bool
is_begun_anew(const Lines *lines, const StringInfo line)
{
	return lines->size == line->len && lines_hold(lines, 0, line->data, line->len);
}

static AdminSinkResult
put_line(const Lines *lines, const StringInfo line, int64 at)
{
	if (pwrite(lines->fd, line->data, line->len, at) != line->len || ftruncate(lines->fd, at + line->len) < 0)
		return lines_outage(lines, "write file");
	return pg_fsync(lines->fd) == 0 ? ADMIN_SINK_OK : lines_outage(lines, "fsync file");
}

/* Begins a new file: there is none yet, or it was moved away. */
static AdminSinkResult
begin_anew(Lines *lines, const StringInfo line)
{
	int			directory = lines->directory->fd;
	AdminSinkResult result = ndjson_file_open(lines->sink, lines->directory, lines->begun_name, O_CREAT,
											  ndjson_mode_of_files(), &lines->fd);

	if (result == ADMIN_SINK_OK)
		result = put_line(lines, line, 0);
	if (result == ADMIN_SINK_OK && renameat(directory, lines->begun_name, directory, lines->name) < 0)
		result = lines_outage(lines, "rename the new file to");
	return result == ADMIN_SINK_OK ? ndjson_directory_fsync(lines->sink, lines->directory) : result;
}

static AdminSinkResult
go_on(Lines *lines, const StringInfo line, int64 *end)
{
	struct stat st;
	AdminSinkResult result;

	if (fstat(lines->fd, &st) < 0)
		return lines_outage(lines, "look at file");
	lines->size = st.st_size;
	if (*end < 0)
		result = find_end(lines, line, end);
	else if (is_begun_anew(lines, line))
	{
		*end = 0;
		result = ADMIN_SINK_OK;
	}
	else
		result = check_known_end(lines, line, *end);
	return result == ADMIN_SINK_OK ? put_line(lines, line, *end) : result;
}

static AdminSinkResult
write_line(Lines *lines, NdjsonSeals *seals, const StringInfo line)
{
	int64		end = seals->end;
	AdminSinkResult result = ndjson_file_open(lines->sink, lines->directory, lines->name, 0, ndjson_mode_of_files(),
											  &lines->fd);

	if (result == ADMIN_SINK_OK && lines->fd < 0)
	{
		end = 0;
		result = begin_anew(lines, line);
	}
	else if (result == ADMIN_SINK_OK)
		result = go_on(lines, line, &end);
	if (result == ADMIN_SINK_OK)
	{
		seals->end = end + line->len;
		memset(&seals->finished, 0, sizeof(seals->finished));
	}
	return result;
}

AdminSinkResult
ndjson_seals_settle(AdminSink *sink, NdjsonSeals *seals, const NdjsonDirectory *directory)
{
	Lines		lines = {.sink = sink, .directory = directory, .fd = -1};
	StringInfoData line;
	volatile AdminSinkResult result;

	if (seals->finished.file[0] == '\0')
		return ADMIN_SINK_OK;
	path_component(sink->database, lines.name, sizeof(lines.name) - strlen(BEGUN_ENDING));
	strlcpy(lines.begun_name, lines.name, sizeof(lines.begun_name));
	strlcat(lines.name, ENDING, sizeof(lines.name));
	strlcat(lines.begun_name, BEGUN_ENDING, sizeof(lines.begun_name));
	/* May raise an error of the database; no file is open yet. */
	make_line(sink, &seals->finished, &line);
	PG_TRY();
	{
		result = write_line(&lines, seals, &line);
	}
	PG_FINALLY();
	{
		if (lines.fd >= 0)
			close(lines.fd);
	}
	PG_END_TRY();
	pfree(line.data);
	return result;
}
