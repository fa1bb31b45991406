/*
 * insider_preload.c
 *	  A session whose client chooses the libraries that it begins with.
 *
 * session_preload_libraries among the options of a connection has the effect of LOAD, but is not a
 * command.  The session's first transaction sees the setting.  Before PostgreSQL 15 that
 * transaction ends before a library is loaded.  From 15 on a library is loaded inside it, and runs
 * before the event is written.  As with LOAD, no promise holds against a library that removes the
 * hooks.
 */
#include "postgres.h"

#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "audit/insider_preload.h"
#include "audit/insider_setting.h"
#include "compat.h"

typedef enum PreloadState
{
	PRELOAD_UNKNOWN,			/* until the first transaction that commits */
	PRELOAD_PENDING,			/* waits for a transaction that can write */
	PRELOAD_COLLECTED,			/* is part of this transaction */
	PRELOAD_DONE
} PreloadState;

static PreloadState state = PRELOAD_UNKNOWN;
static char *libraries;			/* the session may change the setting later */

/* Most have it from the configuration. */
static bool
is_chosen(void)
{
	return MyBackendType == B_BACKEND && session_preload_libraries_string != NULL &&
		session_preload_libraries_string[0] != '\0' &&
		compat_guc_source("session_preload_libraries") == PGC_S_CLIENT &&
		OidIsValid(get_extension_oid("admin_ext", true));
}

bool
insider_has_preload(void)
{
	if (state == PRELOAD_UNKNOWN)
	{
		state = PRELOAD_DONE;
		if (is_chosen())
		{
			libraries = MemoryContextStrdup(TopMemoryContext, session_preload_libraries_string);
			insider_log_stored("session_preload_libraries", libraries, "session");
			state = PRELOAD_PENDING;
		}
	}
	return state == PRELOAD_PENDING;
}

void
insider_collect_preload(void)
{
	if (state != PRELOAD_PENDING)
		return;
	insider_note_stored("session_preload_libraries", libraries, NULL, "session");
	state = PRELOAD_COLLECTED;
}

void
insider_preload_end(bool is_commit)
{
	if (state == PRELOAD_COLLECTED)
		state = is_commit ? PRELOAD_DONE : PRELOAD_PENDING;
}
