/*
 * load_order.c
 *	  Triggers of every table of the extension that has a foreign key: a dump may be
 *	  loaded in any order of tables.
 *
 * The foreign keys exist from CREATE EXTENSION on, and an archive keeps no order between
 * the data of two tables: pg_restore -j loads signatures before approvals.  While
 * admin_ext.restoring is on, the statement that adds rows runs with session_replication_role
 * = replica, so that the foreign keys' own triggers are not queued.  The guards are
 * ENABLE ALWAYS and fire all the same.  admin.restore_guards() compares both sides later.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "compat.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(admin_load_order);

/* The statement that has switched off the foreign keys' triggers, if there is one. */
typedef struct LoadingStatement
{
	LocalTransactionId xid;
	SubTransactionId subxact;
	Oid			table;
	int			settings;		/* nesting level of settings */
} LoadingStatement;

static LoadingStatement loading;

/* After an error the end of the (sub)transaction has put the setting back. */
static bool
loading_is_on(void)
{
	return OidIsValid(loading.table) && loading.xid == compat_local_xid() &&
		SubTransactionIsActive(loading.subxact);
}

static void
loading_begin(Oid table)
{
	loading.xid = compat_local_xid();
	loading.subxact = GetCurrentSubTransactionId();
	loading.table = table;
	loading.settings = NewGUCNestLevel();
	(void) set_config_option("session_replication_role", "replica", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
loading_end(void)
{
	int			probe = NewGUCNestLevel();

	/* If another function has opened a level meanwhile, leave that level to the function. */
	AtEOXact_GUC(true, probe == loading.settings + 1 ? loading.settings : probe);
	loading.table = InvalidOid;
}

Datum
admin_load_order(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Oid			table;

	if (!CALLED_AS_TRIGGER(fcinfo) || TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("load_order has to be called as a statement trigger of INSERT")));
	table = RelationGetRelid(trigger->tg_relation);
	if (TRIGGER_FIRED_AFTER(trigger->tg_event))
	{
		if (loading_is_on() && loading.table == table)
			loading_end();
	}
	else if (admin_restoring && !loading_is_on())
		loading_begin(table);
	return PointerGetDatum(NULL);
}
