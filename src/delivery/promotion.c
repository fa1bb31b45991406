/*
 * promotion.c
 *	  Finds out from the WAL how the server before this one ended.
 *
 * A timeline ends where a standby, or a restore, left it.  A primary that is shut down writes a
 * shutdown checkpoint as its last record, and sends it to its standbys before it ends.  If a
 * timeline ends with such a checkpoint, the server had no more rows to lose.  Otherwise the server
 * may have continued.
 *
 * These functions raise no error: WAL that no longer exists proves nothing.
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "catalog/pg_control.h"
#include "utils/memutils.h"

#include "compat.h"
#include "delivery/promotion.h"
#include "delivery/worker_types.h"

#define CHECKPOINT_BYTES MAXALIGN(SizeOfXLogRecord + SizeOfXLogRecordDataHeaderShort + sizeof(CheckPoint))

static bool
is_shutdown_checkpoint(XLogReaderState *reader, XLogRecPtr begin, XLogRecPtr end)
{
	char	   *problem;

	if (begin % XLOG_BLCKSZ < SizeOfXLogShortPHD || begin % XLOG_BLCKSZ == 0)
		return false;
	XLogBeginRead(reader, begin);
	return XLogReadRecord(reader, &problem) != NULL && reader->EndRecPtr == end &&
		XLogRecGetRmid(reader) == RM_XLOG_ID &&
		(XLogRecGetInfo(reader) & ~XLR_INFO_MASK) == XLOG_CHECKPOINT_SHUTDOWN;
}

/* The record before the end has a known length; a page may begin in the middle of it. */
static bool
ends_with_shutdown(XLogRecPtr end)
{
	static const Size headers[] = {0, SizeOfXLogShortPHD, SizeOfXLogLongPHD};
	XLogReaderState *reader = XLogReaderAllocate(wal_segment_size, NULL,
												 XL_ROUTINE(.page_read = &read_local_xlog_page,
															.segment_open = &wal_segment_open,
															.segment_close = &wal_segment_close), NULL);
	volatile bool found = false;

	if (reader == NULL)
		return false;
	/* The reader has a file open, which has to be closed after an error. */
	PG_TRY();
	{
		for (int i = 0; !found && i < lengthof(headers); i++)
			found = is_shutdown_checkpoint(reader, end - CHECKPOINT_BYTES - headers[i], end);
	}
	PG_FINALLY();
	{
		XLogReaderFree(reader);
	}
	PG_END_TRY();
	return found;
}

/* Did each timeline, from that one up to the present one, end with a shutdown? */
static bool
all_ended_with_shutdown(TimeLineID from, TimeLineID present)
{
	ListCell   *cell;
	bool		is_known = false;

	foreach(cell, readTimeLineHistory(present))
	{
		const TimeLineHistoryEntry *entry = lfirst(cell);

		is_known |= entry->tli == from;
		if (entry->tli >= from && entry->tli < present && !ends_with_shutdown(entry->end))
			return false;
	}
	return is_known;
}

bool
promotion_lost_nothing(const char *home_before, const char *home)
{
	MemoryContext context = CurrentMemoryContext;
	unsigned long long system_before;
	unsigned long long system;
	unsigned int from;
	unsigned int present;
	volatile bool lost_nothing = false;

	/* A different system identifier means pg_upgrade, which requires a server that was shut down. */
	if (sscanf(home_before, "%llu/%u", &system_before, &from) != 2 || sscanf(home, "%llu/%u", &system, &present) != 2 ||
		system_before != system || from == present)
		return true;
	PG_TRY();
	{
		lost_nothing = all_ended_with_shutdown(from, present);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return lost_nothing;
}
