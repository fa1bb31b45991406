/*
 * insider_collect.c
 *	  See insider_collect.h.
 *
 * Memory: the events live in TopMemoryContext until the transaction ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "audit/audit_actor.h"
#include "audit/insider_collect.h"

static List *collected = NIL;

void
insider_collect(const char *event_type, const char *payload)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	CollectedEvent *event = palloc(sizeof(CollectedEvent));

	event->subid = GetCurrentSubTransactionId();
	event->event_type = pstrdup(event_type);
	event->payload = audit_payload_with_login(payload);
	event->actor = audit_actor();
	collected = lappend(collected, event);
	MemoryContextSwitchTo(old);
}

void
insider_log(const char *message)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("log_min_messages", "log", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	ereport(LOG,
			(errmsg("admin_ext: %s", message),
			 errhidestmt(true)));
	AtEOXact_GUC(true, level);
}

static void
collected_forget(CollectedEvent *event)
{
	pfree(event->event_type);
	pfree(event->payload);
	pfree(event->actor);
	pfree(event);
}

List *
insider_collected(void)
{
	return collected;
}

void
insider_collect_reset(void)
{
	ListCell   *cell;

	foreach(cell, collected)
		collected_forget(lfirst(cell));
	list_free(collected);
	collected = NIL;
}

static void
collected_at_savepoint_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	ListCell   *cell;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(cell, collected)
	{
		CollectedEvent *collection = lfirst(cell);

		if (collection->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			collection->subid = parent;
		else
		{
			collected_forget(collection);
			collected = foreach_delete_current(collected, cell);
		}
	}
}

void
insider_collect_init(void)
{
	RegisterSubXactCallback(collected_at_savepoint_end, NULL);
}
