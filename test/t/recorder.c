/*
 * recorder.c
 *	  A sink as a stranger would write it: it knows the installed header and nothing else.
 *
 * It appends to one file in the data directory, which a setting of its own names, for each batch a line of the
 * numbers and the chain that it was given, and then the documents.  A batch that was cut short is the test's to notice:
 * this sink never crashes.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "fmgr.h"
#include "utils/guc.h"

#include "extension/admin_ext/admin_ext_sink.h"

PG_MODULE_MAGIC;

#define FILE_SETTING	"admin_ext_recorder.file"

void		_PG_init(void);
extern PGDLLEXPORT const AdminSinkCallbacks *_PG_admin_sink_init(void);

static AdminSinkResult
recorder_open(AdminSink *sink, AdminSinkPosition *seen)
{
	return ADMIN_SINK_OK;
}

/* What the worker knows of numbers and chain when it begins: a line of its own. */
static AdminSinkResult
recorder_recover(AdminSink *sink, AdminSinkPosition *position)
{
	FILE	   *file = fopen(sink->setting(FILE_SETTING), "a");

	if (file == NULL)
		return ADMIN_SINK_RETRY;
	fprintf(file, "recover %s " INT64_FORMAT " %s\n", sink->store_id, position->last_number, position->chain);
	return fclose(file) == 0 ? ADMIN_SINK_OK : ADMIN_SINK_RETRY;
}

static AdminSinkResult
recorder_deliver(AdminSink *sink, AdminSinkBatch *batch)
{
	FILE	   *file = fopen(sink->setting(FILE_SETTING), "a");
	bool		is_written;

	if (file == NULL)
		return ADMIN_SINK_RETRY;
	fprintf(file, "batch %s " INT64_FORMAT " " INT64_FORMAT " %d %s %s\n", sink->store_id, batch->first_number,
			batch->position.last_number, batch->count, batch->chain_before, batch->chain_after);
	is_written = fwrite(batch->data, 1, batch->length, file) == batch->length;
	return fclose(file) == 0 && is_written ? ADMIN_SINK_OK : ADMIN_SINK_RETRY;
}

static AdminSinkResult
recorder_confirm(AdminSink *sink, AdminSinkBatch *batch)
{
	strlcpy(batch->position.detail, "recorded", ADMIN_SINK_DETAIL_BYTES);
	return ADMIN_SINK_OK;
}

static void
recorder_close(AdminSink *sink)
{
}

static const AdminSinkCallbacks callbacks = {
	.api_version = ADMIN_SINK_API_VERSION,
	.open = recorder_open,
	.recover = recorder_recover,
	.deliver = recorder_deliver,
	.confirm = recorder_confirm,
	.close = recorder_close,
};

/* The setting has a prefix of its own; admin_ext's is kept for what comes with it. */
void
_PG_init(void)
{
	static char *file;

	DefineCustomStringVariable(FILE_SETTING, "Where the sink \"recorder\" writes, in the data directory.",
							   NULL, &file, "recorder", PGC_SIGHUP, 0, NULL, NULL, NULL);
}

const AdminSinkCallbacks *
_PG_admin_sink_init(void)
{
	return &callbacks;
}
