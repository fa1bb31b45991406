/*
 * insider_setting.c
 *	  Settings that weaken what the trail promises, and the sessions that change them.
 *
 * A setting may be changed by set_config(), which is no command, by SET, or by a function's own
 * SET clause: the assign hook sees them all.  It may not write, so that the event follows at the
 * end of the transaction, or of the next one that can write.  What comes from the configuration,
 * a database or a role is no change that the session makes: its event is that of ALTER SYSTEM,
 * ALTER DATABASE, ALTER ROLE or the reload.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "audit/insider_collect.h"
#include "audit/insider_setting.h"
#include "compat.h"
#include "json_text.h"

/* A switch, and the value that weakens. */
typedef struct WatchedSwitch
{
	const char *name;
	bool		weak_value;
	bool		is_weak_by_configuration;	/* a session that says the same changes nothing */
	bool		is_weak;		/* now, by this session's own doing */
	bool		was_weak;		/* at some time in this transaction */
	bool		is_recorded;	/* the trail has an event of this session that says it is weak */
	bool		is_recording;	/* the same, once the transaction commits */
	bool		is_collected;	/* looked at in this transaction */
} WatchedSwitch;

enum WatchedIndex
{
	WATCHED_RESTORING,
	WATCHED_REQUIRE_JWT,
	WATCHED_REQUIRE_POLICY
};

static WatchedSwitch switches[] = {
	[WATCHED_RESTORING] = {.name = "admin_ext.restoring", .weak_value = true},
	[WATCHED_REQUIRE_JWT] = {.name = "admin_ext.require_verified_jwt", .weak_value = false},
	[WATCHED_REQUIRE_POLICY] = {.name = "admin_ext.require_action_policy", .weak_value = false},
};

/* Tells the assign hook where a value comes from. */
bool
insider_check_switch(bool *value, void **extra, GucSource source)
{
	bool		is_session = source == PGC_S_CLIENT || source == PGC_S_SESSION;

	*extra = compat_guc_strdup(is_session ? "s" : "");
	return *extra != NULL;
}

static void
assign_switch(WatchedSwitch *watched, bool value, const char *extra)
{
	if (InitializingParallelWorker || IsParallelWorker())
		return;
	if (extra == NULL || extra[0] != 's')
		watched->is_weak_by_configuration = value == watched->weak_value;
	watched->is_weak = value == watched->weak_value && extra != NULL && extra[0] == 's' &&
		!watched->is_weak_by_configuration;
	watched->was_weak = watched->was_weak || watched->is_weak;
}

void
insider_assign_restoring(bool value, void *extra)
{
	assign_switch(&switches[WATCHED_RESTORING], value, extra);
}

void
insider_assign_require_jwt(bool value, void *extra)
{
	assign_switch(&switches[WATCHED_REQUIRE_JWT], value, extra);
}

void
insider_assign_require_policy(bool value, void *extra)
{
	assign_switch(&switches[WATCHED_REQUIRE_POLICY], value, extra);
}

static bool
switch_begins(const WatchedSwitch *watched)
{
	return (watched->was_weak || watched->is_weak) && !watched->is_recorded;
}

static bool
switch_ends(const WatchedSwitch *watched)
{
	return !watched->is_weak && (watched->is_recorded || watched->was_weak);
}

bool
insider_has_settings(void)
{
	bool		any = false;

	for (int i = 0; i < lengthof(switches); i++)
		any = any || switch_begins(&switches[i]) || switch_ends(&switches[i]);
	return any;
}

static void
collect_switch(const WatchedSwitch *watched, bool value)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"setting\":");
	append_json_cstring(&payload, watched->name);
	appendStringInfo(&payload, ",\"value\":\"%s\",\"scope\":\"session\"}", value ? "on" : "off");
	insider_collect("setting.changed", payload.data);
	insider_log(psprintf("a session changed \"%s\" to %s", watched->name, value ? "on" : "off"));
	pfree(payload.data);
}

/* First what has been weakened, later what no longer is: the rows that were loaded come in between. */
void
insider_collect_settings(bool weakened)
{
	for (int i = 0; i < lengthof(switches); i++)
	{
		WatchedSwitch *watched = &switches[i];

		if (weakened && switch_begins(watched))
			collect_switch(watched, watched->weak_value);
		if (!weakened && switch_ends(watched))
			collect_switch(watched, !watched->weak_value);
		watched->is_recording = watched->is_weak;
		watched->is_collected = true;
	}
}

/*
 * What could not be written waits for a transaction that can; what was rolled back has not been.
 * The session keeps what a prepared transaction has set, and its event may yet be rolled back: the
 * next transaction writes another one.
 */
void
insider_settings_end(XactEvent event)
{
	for (int i = 0; i < lengthof(switches); i++)
	{
		WatchedSwitch *watched = &switches[i];

		if (event == XACT_EVENT_COMMIT)
			watched->is_recorded = watched->is_recording;
		watched->is_recording = watched->is_recorded;
		if (event == XACT_EVENT_ABORT || (event == XACT_EVENT_COMMIT && watched->is_collected))
			watched->was_weak = false;
		watched->is_collected = false;
	}
}
