/*
 * database_ddl.c
 *	  DROP DATABASE, ALTER DATABASE RENAME and SET TABLESPACE, and CREATE DATABASE with a template
 *	  fail while a session is connected.  A worker is not a session that a user could ask to leave.
 *	  So the command itself puts the database on hold: its workers end, the command runs, and the
 *	  launcher restarts the workers that are still listed.
 *
 * A hold belongs to a process, and has no effect once that process has ended.
 *
 * This file also detects a dump that is loaded without admin_ext.restoring.  Such a dump creates
 * the default partition of the trail, which CREATE EXTENSION has already created; the error names
 * the setting.
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/namespace.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/acl.h"

#include "compat.h"
#include "delivery/database_ddl.h"
#include "delivery/shared.h"
#include "monotonic.h"
#include "settings.h"

#define LEAVE_MS	10000		/* after that the command fails because of the worker */

static ProcessUtility_hook_type previous_hook = NULL;

/* The database that has to be without sessions, or NULL. */
static const char *
database_of(Node *statement)
{
	ListCell   *cell;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return castNode(DropdbStmt, statement)->dbname;
		case T_RenameStmt:
			if (castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE)
				return castNode(RenameStmt, statement)->subname;
			return NULL;
		case T_AlterDatabaseStmt:
			foreach(cell, castNode(AlterDatabaseStmt, statement)->options)
			{
				if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
					return castNode(AlterDatabaseStmt, statement)->dbname;
			}
			return NULL;
		case T_CreatedbStmt:
			foreach(cell, castNode(CreatedbStmt, statement)->options)
			{
				if (strcmp(lfirst_node(DefElem, cell)->defname, "template") == 0 &&
					lfirst_node(DefElem, cell)->arg != NULL)
					return defGetString(lfirst_node(DefElem, cell));
			}
			return NULL;
		default:
			return NULL;
	}
}

/* A role that may not change the database does not stop its delivery either. */
static bool
may_hold(const char *database)
{
	Oid			oid = get_database_oid(database, true);

	return OidIsValid(oid) && compat_owns_database(oid, GetUserId());
}

static void
release_holds(int code, Datum arg)
{
	LWLockAcquire(delivery_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DELIVERY_HOLDS; i++)
	{
		if (delivery_shared->holds[i].pid == MyProcPid)
			delivery_shared->holds[i].pid = 0;
	}
	if (delivery_shared->launcher_latch)
		SetLatch(delivery_shared->launcher_latch);
	LWLockRelease(delivery_shared->lock);
}

static DeliveryHold *
take_hold(const char *database)
{
	static bool registered = false;
	DeliveryHold *hold = NULL;

	/* If the session ends in the middle of the command, its hold is released. */
	if (!registered)
		before_shmem_exit(release_holds, (Datum) 0);
	registered = true;
	LWLockAcquire(delivery_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DELIVERY_HOLDS && hold == NULL; i++)
	{
		DeliveryHold *candidate = &delivery_shared->holds[i];

		if (candidate->pid == 0 || candidate->pid == MyProcPid ||
			BackendPidGetProc(candidate->pid) == NULL)
			hold = candidate;
	}
	if (hold != NULL)
	{
		hold->pid = MyProcPid;
		strlcpy(hold->database, database, NAMEDATALEN);
	}
	LWLockRelease(delivery_shared->lock);
	return hold;
}

/* Tells the workers of a database to end; returns how many are still running. */
static int
end_workers(const char *database)
{
	int			count = 0;

	LWLockAcquire(delivery_shared->lock, LW_SHARED);
	for (int i = 0; i < DELIVERY_SLOTS; i++)
	{
		DeliverySlot *slot = &delivery_shared->slots[i];

		if (slot->pid == 0 || strcmp(slot->database, database) != 0)
			continue;
		kill(slot->pid, SIGTERM);
		count++;
	}
	LWLockRelease(delivery_shared->lock);
	return count;
}

static void
wait_for_workers(const char *database)
{
	int64		deadline = monotonic_ms() + LEAVE_MS;

	while (end_workers(database) > 0 && monotonic_ms() < deadline)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
check_default_partition(Node *statement)
{
	CreateStmt *create = (CreateStmt *) statement;

	if (!IsA(statement, CreateStmt) || admin_restoring || create->if_not_exists ||
		create->relation->schemaname == NULL || strcmp(create->relation->schemaname, "admin") != 0 ||
		strcmp(create->relation->relname, "audit_default") != 0)
		return;
	if (OidIsValid(get_extension_oid("admin_ext", true)) && OidIsValid(RangeVarGetRelid(create->relation, NoLock, true)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"audit_default\" already exists"),
				 errdetail("CREATE EXTENSION makes the default partition of admin.audit unless a dump is being loaded."),
				 errhint("To load a logical dump, set admin_ext.restoring to on in the loading session, before CREATE EXTENSION.")));
}

static void
database_process_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
						 ProcessUtilityContext context, ParamListInfo params,
						 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_hook ? previous_hook : standard_ProcessUtility;
	const char *database = database_of(statement->utilityStmt);
	DeliveryHold *hold = NULL;

	check_default_partition(statement->utilityStmt);
	if (database != NULL && may_hold(database))
		hold = take_hold(database);
	if (hold == NULL)
	{
		next(statement, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	PG_TRY();
	{
		wait_for_workers(database);
		next(statement, query, read_only_tree, context, params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		release_holds(0, (Datum) 0);
	}
	PG_END_TRY();
}

void
database_ddl_init(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = database_process_utility;
}
