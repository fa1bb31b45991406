/*
 * ndjson_seals.c
 *	  Keeps what is known of files, in memory and in the position.  ndjson_lines.c writes the lines.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/builtins.h"

#include "sinks/ndjson/ndjson_seals.h"

#define CHUNK_BYTES			(1024 * 1024)
#define UNKNOWN				"-"
/* Our text follows it; no name of a file contains it. */
#define SEPARATOR			'|'

static void
hash_end(NdjsonSeals *seals)
{
	hashing_free(seals->hash);
	seals->hash = NULL;
}

static void
hash_begin(NdjsonSeals *seals)
{
	hash_end(seals);
	seals->hash = hashing_new();
	if (seals->hash == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	hashing_begin(seals->hash);
}

static void
hash_take(NdjsonSeals *seals, char text[ADMIN_SINK_CHAIN_BYTES])
{
	unsigned char digest[HASHING_BYTES];

	if (!hashing_take(seals->hash, digest))
		elog(ERROR, "could not compute SHA-256 digest");
	text[hex_encode((const char *) digest, HASHING_BYTES, text)] = '\0';
}

/* Hashes a file that was not begun since the sink was opened.  False: it is not as it was delivered. */
static bool
hash_file(NdjsonSeals *seals, int fd)
{
	char	   *chunk;
	struct stat st;
	int64		offset = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size != seals->at_hand.bytes)
		return false;
	chunk = palloc(CHUNK_BYTES);
	hash_begin(seals);
	while (offset < seals->at_hand.bytes)
	{
		ssize_t		bytes = pread(fd, chunk, Min(CHUNK_BYTES, seals->at_hand.bytes - offset), offset);

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes <= 0)
			break;
		hashing_add(seals->hash, chunk, bytes);
		hashing_settle(seals->hash);
		offset += bytes;
		CHECK_FOR_INTERRUPTS();
	}
	pfree(chunk);
	return offset == seals->at_hand.bytes;
}

/* A file that was moved away while not open cannot be hashed: only the chain proves it. */
static void
hash_at_hand(NdjsonSeals *seals, const NdjsonDirectory *directory, int fd)
{
	volatile int opened = fd < 0 ? ndjson_file_look(directory, seals->at_hand.file) : -1;

	PG_TRY();
	{
		if (seals->hash != NULL || hash_file(seals, fd < 0 ? opened : fd))
			hash_take(seals, seals->at_hand.sha256);
		else
			strlcpy(seals->at_hand.sha256, UNKNOWN, sizeof(seals->at_hand.sha256));
		hash_end(seals);
	}
	PG_FINALLY();
	{
		if (opened >= 0)
			close(opened);
	}
	PG_END_TRY();
}

bool
ndjson_seals_are_many(const NdjsonSeals *seals)
{
	return seals->at_hand.batches >= NDJSON_MOST_BATCHES;
}

void
ndjson_seals_finish(NdjsonSeals *seals, const NdjsonDirectory *directory, int fd)
{
	if (seals->at_hand.file[0] == '\0')
		return;
	hash_at_hand(seals, directory, fd);
	seals->finished = seals->at_hand;
}

void
ndjson_seals_begin(NdjsonSeals *seals, const char *file, const AdminSinkBatch *batch)
{
	memset(&seals->at_hand, 0, sizeof(seals->at_hand));
	strlcpy(seals->at_hand.file, file, sizeof(seals->at_hand.file));
	strlcpy(seals->at_hand.chain_before, batch->chain_before, ADMIN_SINK_CHAIN_BYTES);
	seals->at_hand.first = batch->first_number;
	hash_begin(seals);
}

void
ndjson_seals_add(NdjsonSeals *seals, const AdminSinkBatch *batch)
{
	seals->at_hand.bytes += batch->length;
	seals->at_hand.batches++;
	seals->at_hand.last = batch->position.last_number;
	strlcpy(seals->at_hand.chain_after, batch->chain_after, ADMIN_SINK_CHAIN_BYTES);
	if (seals->hash != NULL)
		hashing_add(seals->hash, batch->data, batch->length);
}

/* Name, bytes, first and last number, batches, chain before and after, hash. */
#define CONTENT_FORM	"%s %lld %lld %lld %d %s %s %s"
#define CONTENT_SCAN	"%1023s %lld %lld %lld %d %64s %64s %64s"
#define CONTENT_FIELDS	8

static int
write_content(const NdjsonContent *content, char *text, Size size)
{
	return snprintf(text, size, CONTENT_FORM, content->file, (long long) content->bytes, (long long) content->first,
					(long long) content->last, content->batches, content->chain_before, content->chain_after,
					content->sha256[0] != '\0' ? content->sha256 : UNKNOWN);
}

static bool
read_content(const char *text, NdjsonContent *content)
{
	long long	bytes;
	long long	first;
	long long	last;

	if (sscanf(text, CONTENT_SCAN, content->file, &bytes, &first, &last, &content->batches, content->chain_before,
			   content->chain_after, content->sha256) != CONTENT_FIELDS || !ndjson_is_file_name(content->file))
		return false;
	content->bytes = bytes;
	content->first = first;
	content->last = last;
	return true;
}

void
ndjson_seals_record(NdjsonSeals *seals, AdminSinkBatch *batch)
{
	char	   *detail = batch->position.detail;
	int			length = strlen(detail);

	hashing_settle(seals->hash);
	length += snprintf(detail + length, ADMIN_SINK_DETAIL_BYTES - length, " %c %lld ", SEPARATOR, (long long) seals->end);
	length += write_content(&seals->at_hand, detail + length, ADMIN_SINK_DETAIL_BYTES - length);
	if (seals->finished.file[0] == '\0')
		return;
	length += snprintf(detail + length, ADMIN_SINK_DETAIL_BYTES - length, " %c ", SEPARATOR);
	(void) write_content(&seals->finished, detail + length, ADMIN_SINK_DETAIL_BYTES - length);
}

void
ndjson_seals_read(NdjsonSeals *seals, const AdminSinkPosition *position)
{
	const char *own = strchr(position->detail, SEPARATOR);
	const char *second;
	int			length = 0;
	long long	end;

	memset(&seals->at_hand, 0, sizeof(seals->at_hand));
	memset(&seals->finished, 0, sizeof(seals->finished));
	seals->end = seals->recorded_end = -1;
	if (own == NULL)
		return;
	second = strchr(own + 1, SEPARATOR);
	if (sscanf(own + 1, " %lld %n", &end, &length) != 1 || !read_content(own + 1 + length, &seals->at_hand) ||
		(second != NULL && !read_content(second + 1, &seals->finished)))
		elog(ERROR, "malformed position \"%s\"", position->detail);
	seals->recorded_end = end;
}

void
ndjson_seals_expect(NdjsonSeals *seals)
{
	seals->end = seals->recorded_end;
}

void
ndjson_seals_close(NdjsonSeals *seals)
{
	hash_end(seals);
}
