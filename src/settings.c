/*
 * settings.c
 *	  Defines the settings, and refuses wrong values.  Called once, when the
 *	  library is loaded.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "audit/insider_setting.h"
#include "settings.h"
#include "settings_secret.h"

#define MAX_SINK_NAME	40

bool		admin_restoring = false;
char	   *admin_databases = NULL;
char	   *admin_sinks = NULL;
int			admin_on_divergence = ON_DIVERGENCE_STOP;
bool		admin_require_action_policy = false;
bool		admin_require_verified_jwt = true;
int			admin_jwt_leeway_s = 30;
char	   *admin_retention = NULL;
bool		admin_archive_required = false;
int			admin_ingest_window_s = 7 * 86400;
int			admin_sweep_interval_ms = 60 * 1000;
int			admin_batch_rows = 10000;
int			admin_batch_kb = 8 * 1024;
int			admin_linger_ms = 5;
int			admin_retry_backoff_max_ms = 30 * 1000;

List *
settings_list(const char *value)
{
	List	   *names = NIL;

	if (!SplitGUCList(pstrdup(value), ',', &names))
		elog(ERROR, "malformed list \"%s\"", value);
	return names;
}

static bool
check_databases(char **value, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*value);
	List	   *names = NIL;
	bool		good = SplitGUCList(copy, ',', &names);
	ListCell   *cell;

	if (!good)
		GUC_check_errdetail("List syntax is invalid.");
	foreach(cell, names)
	{
		if (good && strlen(lfirst(cell)) >= NAMEDATALEN)
		{
			GUC_check_errdetail("A database name has at most %d bytes.", NAMEDATALEN - 1);
			good = false;
		}
	}
	list_free(names);
	pfree(copy);
	return good;
}

/* A name becomes the name of a library: admin_ext_<name>. */
static bool
is_sink_name(const char *name)
{
	Size		length = strlen(name);

	return length > 0 && length <= MAX_SINK_NAME &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

static bool
check_sinks(char **value, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*value);
	List	   *names = NIL;
	bool		good = SplitGUCList(copy, ',', &names);

	if (!good)
		GUC_check_errdetail("List syntax is invalid.");
	else if (list_length(names) > MAX_SINKS)
	{
		GUC_check_errdetail("There can be at most %d sinks.", MAX_SINKS);
		good = false;
	}
	for (int i = 0; good && i < list_length(names); i++)
	{
		char	   *name = list_nth(names, i);

		good = is_sink_name(name);
		if (!good)
			GUC_check_errdetail("Sink \"%.64s\" is not 1 to %d lower-case letters, digits and underscores.",
								name, MAX_SINK_NAME);
		for (int j = 0; good && j < i; j++)
		{
			good = strcmp(name, list_nth(names, j)) != 0;
			if (!good)
				GUC_check_errdetail("Sink \"%s\" is listed twice.", name);
		}
	}
	list_free(names);
	pfree(copy);
	return good;
}

/*
 * An interval in years, months, weeks and days, none of them negative.  It is parsed here, for
 * the server's own parser raises errors, and the postmaster has no place for them.
 */
static bool
check_retention(char **value, void **extra, GucSource source)
{
	static const char *const units[] = {"year", "years", "month", "months", "week", "weeks", "day", "days"};
	const char *at = *value;
	int			parts = 0;

	for (at += strspn(at, " "); *at != '\0'; at += strspn(at, " "))
	{
		Size		digits = strspn(at, "0123456789");
		Size		letters;
		bool		known = false;

		if (digits < 1 || digits > 5)
			break;
		at += digits;
		at += strspn(at, " ");
		letters = strspn(at, "abcdefghijklmnopqrstuvwxyz");
		for (int i = 0; i < lengthof(units); i++)
			known = known || (strlen(units[i]) == letters && strncmp(at, units[i], letters) == 0);
		if (!known)
			break;
		at += letters;
		parts++;
	}
	if (*at == '\0' && parts > 0)
		return true;
	GUC_check_errdetail("An interval in years, months, weeks and days is needed, for example \"7 years\" or \"6 months 15 days\".");
	return false;
}

const char *
settings_text(const char *name)
{
	const char *secret = settings_secret(name);

	return secret ? secret : GetConfigOption(name, false, false);
}

static void
define_delivery(void)
{
	DefineCustomStringVariable("admin_ext.databases",
							   "Databases whose audit trail is delivered.",
							   NULL, &admin_databases, "",
							   PGC_SIGHUP, GUC_LIST_INPUT, check_databases, NULL, NULL);
	DefineCustomStringVariable("admin_ext.sinks",
							   "Sinks to deliver to, each with a worker and a position of its own.",
							   NULL, &admin_sinks, "ndjson",
							   PGC_SIGHUP, GUC_LIST_INPUT, check_sinks, NULL, NULL);
	DefineCustomIntVariable("admin_ext.batch_rows", "Most rows of a delivered batch.",
							NULL, &admin_batch_rows, 10000, 1, 1000000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("admin_ext.batch_bytes", "Most bytes of a delivered batch.",
							"A single row that is larger makes a batch of its own.",
							&admin_batch_kb, 8 * 1024, 64, 256 * 1024,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("admin_ext.linger", "How long a commit may wait for company.",
							NULL, &admin_linger_ms, 5, 0, 10000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("admin_ext.retry_backoff_max",
							"Longest pause between two attempts to reach a sink.",
							NULL, &admin_retry_backoff_max_ms, 30 * 1000, 100, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_identity(void)
{
	DefineCustomBoolVariable("admin_ext.require_verified_jwt",
							 "Issuing, signing and withdrawing need a token that proves who acts.",
							 "Off: a plain argument is taken for it, and the trail says that nobody was verified.",
							 &admin_require_verified_jwt, true,
							 PGC_SUSET, 0, insider_check_switch, insider_assign_require_jwt, NULL);
	DefineCustomIntVariable("admin_ext.jwt_leeway", "How far the clocks of token issuers may be ahead.",
							"Allowed for on nbf and iat; exp has no leeway.",
							&admin_jwt_leeway_s, 30, 0, 3600,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
}

static const struct config_enum_entry divergence_options[] = {
	{"stop", ON_DIVERGENCE_STOP, false},
	{"fork", ON_DIVERGENCE_FORK, false},
	{NULL, 0, false}
};

static void
define_workflow(void)
{
	DefineCustomBoolVariable("admin_ext.require_action_policy",
							 "An approval needs an action that has a policy.",
							 "Policies are set with admin.set_action_policy().",
							 &admin_require_action_policy, false,
							 PGC_SUSET, 0, insider_check_switch, insider_assign_require_policy, NULL);
	DefineCustomIntVariable("admin_ext.ingest_window", "How far back an ingested event is looked for in the trail.",
							"One that says when it occurred is looked for since then, besides.",
							&admin_ingest_window_s, 7 * 86400, 86400, 3650 * 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("admin_ext.retention", "How long rows of the audit trail are kept.",
							   "admin.drop_audit_partitions() refuses to drop what is younger.",
							   &admin_retention, "7 years",
							   PGC_SIGHUP, 0, check_retention, NULL, NULL);
	DefineCustomBoolVariable("admin_ext.archive_required", "Rows of the audit trail are kept until the archive has confirmed them.",
							 "admin.drop_audit_partitions() refuses to drop what has no receipt.",
							 &admin_archive_required, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("admin_ext.on_divergence",
							 "What delivery does when a sink holds rows that the database has lost.",
							 "\"stop\" waits for admin.resync_sink(); \"fork\" goes on as another store.",
							 &admin_on_divergence, ON_DIVERGENCE_STOP, divergence_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("admin_ext.sweep_interval", "How often the worker announces deadlines that have passed.",
							"It does so when pg_cron does not; 0 is never.",
							&admin_sweep_interval_ms, 60 * 1000, 0, 86400 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

void
settings_init(void)
{
	DefineCustomBoolVariable("admin_ext.restoring",
							 "While a logical dump is loaded: guard and row-change trigger stand aside.",
							 "Rows are taken as they were dumped; the audit trail stays append-only.",
							 &admin_restoring, false,
							 PGC_SUSET, 0, insider_check_switch, insider_assign_restoring, NULL);
	define_identity();
	define_workflow();
	define_delivery();
}
