/*
 * insider_lasting.c
 *	  Acts that a rollback does not undo, and that can change what guards the trail.
 *
 * A library loaded by LOAD can remove every hook.  A program or an untrusted language runs as the
 * server's own user and may write to its files.  COPY, lo_export() and the functions of adminpack
 * may do so, too.  Functions of pg_surgery remove rows without firing a trigger.  Each such act
 * leaves guard.changed in its transaction.  If that is rolled back, the next transaction of the
 * session that can write records the act.
 *
 * An act that is refused for lack of privileges is not recorded.  Users who are not superusers load
 * only from $libdir/plugins, where the owner of the server's files has put libraries for all users.
 * local_preload_libraries loads them without a command.  An event for these would tell nothing new,
 * and would let any user fill the trail.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_language.h"
#include "commands/proclang.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "audit/insider.h"
#include "audit/insider_collect.h"

/* The most acts that wait until they can be written.  Further acts are only counted and logged. */
#define MOST_KEPT	100

static List *lasting = NIL;		/* payloads, in TopMemoryContext */
static int	collected = 0;		/* how many of them this transaction has collected */
static int64 left_out = 0;		/* acts that were only counted */
static char *latest = NULL;		/* payload of the last act of this transaction, in its memory */

/* Is it one of our libraries, by a name that cannot mean another file? */
static bool
is_our_library(const char *file)
{
	static const char *const ours[] = {"admin_ext", "admin_ext_kafka", "admin_ext_redis"};
	const char *name = file;

	if (strncmp(file, "$libdir/", strlen("$libdir/")) == 0)
		name = file + strlen("$libdir/");
	else if (strcmp(Dynamic_library_path, "$libdir") != 0)
		return false;
	for (int i = 0; i < lengthof(ours); i++)
	{
		if (strcmp(name, ours[i]) == 0)
			return true;
	}
	return false;
}

/* The file's location does not matter: links and tablespaces also lead into the data directory. */
static bool
is_lasting_copy(const CopyStmt *statement)
{
	if (statement->is_program)
		return has_privs_of_role(GetUserId(), ROLE_PG_EXECUTE_SERVER_PROGRAM);
	return !statement->is_from && statement->filename != NULL &&
		has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES);
}

bool
insider_is_untrusted(Oid language)
{
	HeapTuple	tuple = SearchSysCache1(LANGOID, ObjectIdGetDatum(language));
	bool		is_untrusted = HeapTupleIsValid(tuple) && !((Form_pg_language) GETSTRUCT(tuple))->lanpltrusted;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return is_untrusted;
}

/* The language of a DO block that a superuser runs in an untrusted language; else NULL. */
static const char *
untrusted_language(const DoStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->args)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "language") == 0 && superuser() &&
			insider_is_untrusted(get_language_oid(strVal(option->arg), true)))
			return strVal(option->arg);
	}
	return NULL;
}

const char *
insider_lasting_object(Node *statement)
{
	if (IsA(statement, LoadStmt) && superuser() && !is_our_library(castNode(LoadStmt, statement)->filename))
		return castNode(LoadStmt, statement)->filename;
	if (IsA(statement, CopyStmt) && is_lasting_copy(castNode(CopyStmt, statement)))
		return castNode(CopyStmt, statement)->filename;
	if (IsA(statement, DoStmt))
		return untrusted_language(castNode(DoStmt, statement));
	return NULL;
}

/* Calls of a function for each row of a query are one act.  A standby only writes the log line. */
bool
insider_note_lasting(const char *payload)
{
	MemoryContext old;

	if (latest != NULL && strcmp(latest, payload) == 0)
		return false;
	if (latest != NULL)
		pfree(latest);
	latest = MemoryContextStrdup(TopTransactionContext, payload);
	if (RecoveryInProgress())
		return true;
	if (list_length(lasting) >= MOST_KEPT && !insider_trail_can_take())
	{
		left_out++;
		return true;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	lasting = lappend(lasting, pstrdup(payload));
	MemoryContextSwitchTo(old);
	return true;
}

bool
insider_has_lasting(void)
{
	return lasting != NIL;
}

void
insider_collect_lasting(void)
{
	bool		is_first = collected == 0;

	for (; collected < list_length(lasting); collected++)
		insider_collect("guard.changed", list_nth(lasting, collected));
	if (is_first && left_out > 0)
		insider_collect("guard.changed", psprintf("{\"command\":\"more\",\"acts\":" INT64_FORMAT "}", left_out));
}

void
insider_lasting_end(bool is_commit)
{
	if (is_commit && collected > 0)
		left_out = 0;
	for (; is_commit && collected > 0; collected--)
	{
		pfree(linitial(lasting));
		lasting = list_delete_first(lasting);
	}
	collected = 0;
	latest = NULL;
}
