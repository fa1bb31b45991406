/*
 * settings.c
 *	  Defines the settings, and refuses wrong values.  Called once, when the
 *	  library is loaded.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "compat.h"
#include "settings.h"
#include "sinks/ndjson/ndjson.h"

#define MAX_SINK_NAME	40
#define MAX_TOPIC_NAME	249

bool		admin_restoring = false;
char	   *admin_databases = NULL;
char	   *admin_sinks = NULL;
bool		admin_require_verified_jwt = true;
int			admin_jwt_leeway_s = 30;
int			admin_ingest_window_s = 7 * 86400;
int			admin_sweep_interval_s = 60;
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

static bool
check_directory(char **value, void **extra, GucSource source)
{
	if ((*value)[0] != '\0' && strlen(*value) < MAXPGPATH - 2 * NAMEDATALEN)
		return true;
	GUC_check_errdetail("A directory of 1 to %d bytes is needed.", MAXPGPATH - 2 * NAMEDATALEN - 1);
	return false;
}

/*
 * name=value, separated by semicolons or line breaks.  What is not of that form may be part of
 * a secret, so it is not shown; the property that it follows is.
 */
static bool
check_kafka_options(char **value, void **extra, GucSource source)
{
	const char *at = *value;
	const char *before = "";
	int			before_length = 0;
	int			number = 1;

	while (*at != '\0')
	{
		int			length = strcspn(at, ";\n");
		int			name = strspn(at, " \t\r");
		int			named = name + strspn(at + name, "abcdefghijklmnopqrstuvwxyz0123456789._");
		int			equals = named + strspn(at + named, " \t");

		if (name < length && (named == name || at[equals] != '='))
		{
			GUC_check_errdetail(before_length == 0 ?
								"Option %d is not the name of a librdkafka property, an equals sign and a value." :
								"Option %d, which follows property \"%.*s\", is not the name of a librdkafka property, an equals sign and a value.",
								number, before_length, before);
			return false;
		}
		if (name < length)
		{
			before = at + name;
			before_length = named - name;
		}
		at += length;
		if (*at != '\0')
			at++;
		number++;
	}
	return true;
}

/* The topic's name is part of a registry's address: nothing in it needs an escape. */
static bool
check_kafka_topic(char **value, void **extra, GucSource source)
{
	Size		length = strlen(*value);

	if (length >= 1 && length <= MAX_TOPIC_NAME &&
		strspn(*value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == length)
		return true;
	GUC_check_errdetail("A topic's name is 1 to %d letters, digits, dots, underscores and hyphens.", MAX_TOPIC_NAME);
	return false;
}

/*
 * A reload logs the text of a setting whose variable has changed.  So the variable of one
 * that holds a secret is empty for good; the value is kept aside, and shown to superusers.
 */
enum {KAFKA_OPTIONS, REGISTRY_URL, REGISTRY_AUTH, SECRETS};
static const char *secrets[SECRETS] = {"", "", ""};

static bool
hide(char **value, void **extra)
{
	char	   *kept = compat_guc_strdup(*value);
	char	   *empty = compat_guc_strdup("");

	if (kept == NULL || empty == NULL)
		return false;
	compat_guc_free(*value);
	*value = empty;
	*extra = kept;
	return true;
}

static bool
check_secret(char **value, void **extra, GucSource source)
{
	return *value == NULL || hide(value, extra);
}

static bool
check_hidden_options(char **value, void **extra, GucSource source)
{
	/* Refused without the usual words, which hold the value. */
	if (!check_kafka_options(value, extra, source))
	{
		GUC_check_errmsg("invalid value for parameter \"admin_ext.kafka_options\"");
		return false;
	}
	return hide(value, extra);
}

static void
assign_options(const char *value, void *extra)
{
	secrets[KAFKA_OPTIONS] = extra;
}

static void
assign_url(const char *value, void *extra)
{
	secrets[REGISTRY_URL] = extra;
}

static void
assign_auth(const char *value, void *extra)
{
	secrets[REGISTRY_AUTH] = extra;
}

static const char *
show_options(void)
{
	return secrets[KAFKA_OPTIONS];
}

static const char *
show_url(void)
{
	return secrets[REGISTRY_URL];
}

static const char *
show_auth(void)
{
	return secrets[REGISTRY_AUTH];
}

const char *
settings_text(const char *name)
{
	static const char *const names[SECRETS] = {
		"admin_ext.kafka_options", "admin_ext.schema_registry_url", "admin_ext.schema_registry_auth"
	};

	for (int i = 0; i < SECRETS; i++)
	{
		if (strcmp(name, names[i]) == 0)
			return secrets[i];
	}
	return GetConfigOption(name, false, false);
}

/* Read by the library admin_ext_kafka, by name. */
static void
define_kafka(void)
{
	static char *brokers;
	static char *topic;
	static char *options;
	static char *url;
	static char *auth;
	const int	secret = GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE;

	DefineCustomStringVariable("admin_ext.kafka_brokers", "Brokers of the Kafka sink, host:port,...",
							   NULL, &brokers, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("admin_ext.kafka_topic", "Topic of the Kafka sink.",
							   NULL, &topic, "ptt.audit.trail", PGC_SIGHUP, 0, check_kafka_topic, NULL, NULL);
	DefineCustomStringVariable("admin_ext.kafka_options", "Properties of librdkafka.",
							   "name=value, separated by semicolons or line breaks.",
							   &options, "", PGC_SIGHUP, secret, check_hidden_options, assign_options, show_options);
	DefineCustomStringVariable("admin_ext.schema_registry_url",
							   "Schema registry; values carry its wire format where it is set.",
							   NULL, &url, "", PGC_SIGHUP, secret, check_secret, assign_url, show_url);
	DefineCustomStringVariable("admin_ext.schema_registry_auth", "user:password of the schema registry.",
							   NULL, &auth, "", PGC_SIGHUP, secret, check_secret, assign_auth, show_auth);
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
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("admin_ext.jwt_leeway", "How far the clocks of token issuers may be ahead.",
							"Allowed for on nbf and iat; exp has no leeway.",
							&admin_jwt_leeway_s, 30, 0, 3600,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
define_workflow(void)
{
	DefineCustomIntVariable("admin_ext.ingest_window", "How far back an ingested event is looked for in the trail.",
							"One that says when it occurred is looked for since then, besides.",
							&admin_ingest_window_s, 7 * 86400, 86400, 3650 * 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("admin_ext.sweep_interval", "How often the worker announces deadlines that have passed.",
							"It does so when pg_cron does not; 0 is never.",
							&admin_sweep_interval_s, 60, 0, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

void
settings_init(void)
{
	DefineCustomBoolVariable("admin_ext.restoring",
							 "While a logical dump is loaded: guard and row-change trigger stand aside.",
							 "Rows are taken as they were dumped; the audit trail stays append-only.",
							 &admin_restoring, false,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	define_identity();
	define_workflow();
	define_delivery();
	define_kafka();
	DefineCustomStringVariable("admin_ext.ndjson_directory",
							   "Where the NDJSON sink writes.",
							   "A relative path is under the data directory.",
							   &ndjson_directory, "admin_ext",
							   PGC_SIGHUP, 0, check_directory, NULL, NULL);
	DefineCustomIntVariable("admin_ext.ndjson_rotate_size",
							"Size at which the NDJSON sink begins a new file.",
							NULL, &ndjson_rotate_size_kb, 256 * 1024, 1, INT_MAX / 2,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
}
