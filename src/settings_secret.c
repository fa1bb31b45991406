/*
 * settings_secret.c
 *	  Settings that hold secrets: they never get into the log.
 *
 * A reload logs the text of a setting whose variable has changed.  So the variable of one
 * that holds a secret is empty for good; the value is kept aside, and shown to superusers.
 * A value that is refused is not shown either: the usual words hold it.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "compat.h"
#include "kafka_property.h"
#include "settings_secret.h"

typedef struct Secret
{
	const char *name;
	const char *meaning;
	const char *details;
	bool		(*is_good) (const char *value); /* NULL: any is.  Says why it is not. */
	char	   *variable;		/* empty */
	const char *value;
} Secret;

/* The name is of letters, digits, dots and underscores, so it can be shown. */
static bool
is_property_taken(const char *name, int name_length, const char *value, int value_length)
{
	const char *problem;

	while (value_length > 0 && strchr(" \t\r", *value))
	{
		value++;
		value_length--;
	}
	while (value_length > 0 && strchr(" \t\r", value[value_length - 1]))
		value_length--;
	problem = kafka_property_problem(name, name_length, value, value_length);
	if (problem == NULL)
		return true;
	GUC_check_errdetail("Property \"%.*s\" %s.", name_length, name, problem);
	return false;
}

/*
 * name=value, separated by semicolons or line breaks.  What is not of that form may be part of
 * a secret, so it is not shown; the property that it follows is.
 */
static bool
are_options(const char *value)
{
	const char *at = value;
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
			if (!is_property_taken(before, before_length, at + equals + 1, length - equals - 1))
				return false;
		}
		at += length;
		if (*at != '\0')
			at++;
		number++;
	}
	return true;
}

/* A scheme in front has to be one of HTTP's: no file is read, and nothing else is spoken. */
static bool
is_registry_url(const char *value)
{
	Size		scheme = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

	if (value[scheme] != ':' || value[scheme + 1] != '/' || (scheme == 4 && pg_strncasecmp(value, "http", 4) == 0) ||
		(scheme == 5 && pg_strncasecmp(value, "https", 5) == 0))
		return true;
	GUC_check_errdetail("It begins with http:// or https://.");
	return false;
}

static bool
is_redis_url(const char *value)
{
	static const char *const schemes[] = {"redis://", "rediss://", "unix://"};

	for (int i = 0; i < lengthof(schemes); i++)
	{
		if (pg_strncasecmp(value, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	GUC_check_errdetail("It begins with redis://, rediss:// or unix://.");
	return value[0] == '\0';
}

enum
{
	KAFKA_OPTIONS, REGISTRY_URL, REGISTRY_AUTH, REDIS_URL, SECRETS
};

static Secret secrets[SECRETS] = {
	[KAFKA_OPTIONS] = {"admin_ext.kafka_options", "Properties of librdkafka.",
	"name=value, separated by semicolons or line breaks.", are_options, NULL, ""},
	[REGISTRY_URL] = {"admin_ext.schema_registry_url",
	"Schema registry; values carry its wire format where it is set.", "http:// or https://.", is_registry_url, NULL, ""},
	[REGISTRY_AUTH] = {"admin_ext.schema_registry_auth", "user:password of the schema registry.",
	NULL, NULL, NULL, ""},
	[REDIS_URL] = {"admin_ext.redis_url", "Where the Redis sink finds Redis.",
	"redis://, rediss:// or unix://, with user and password where it asks for them.", is_redis_url, NULL, ""},
};

static bool
check_secret(const Secret *secret, char **value, void **extra)
{
	char	   *kept;
	char	   *empty;

	if (*value == NULL)
		return true;
	if (secret->is_good != NULL && !secret->is_good(*value))
	{
		GUC_check_errmsg("invalid value for parameter \"%s\"", secret->name);
		return false;
	}
	kept = compat_guc_strdup(*value);
	empty = compat_guc_strdup("");
	if (kept == NULL || empty == NULL)
		return false;
	compat_guc_free(*value);
	*value = empty;
	*extra = kept;
	return true;
}

/* The server tells a hook no name. */
#define HOOKS(id) \
static bool \
check_##id(char **value, void **extra, GucSource source) \
{ \
	return check_secret(&secrets[id], value, extra); \
} \
static void \
assign_##id(const char *value, void *extra) \
{ \
	secrets[id].value = extra; \
} \
static const char * \
show_##id(void) \
{ \
	return secrets[id].value; \
}

HOOKS(KAFKA_OPTIONS)
HOOKS(REGISTRY_URL)
HOOKS(REGISTRY_AUTH)
HOOKS(REDIS_URL)

static void
define_secret(Secret *secret, GucStringCheckHook check_hook, GucStringAssignHook assign_hook, GucShowHook show_hook)
{
	DefineCustomStringVariable(secret->name, secret->meaning, secret->details, &secret->variable, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE,
							   check_hook, assign_hook, show_hook);
}

#define DEFINE(id) define_secret(&secrets[id], check_##id, assign_##id, show_##id)

void
settings_define_secrets(void)
{
	DEFINE(KAFKA_OPTIONS);
	DEFINE(REGISTRY_URL);
	DEFINE(REGISTRY_AUTH);
	DEFINE(REDIS_URL);
}

const char *
settings_secret(const char *name)
{
	for (int i = 0; i < SECRETS; i++)
	{
		if (strcmp(name, secrets[i].name) == 0)
			return secrets[i].value;
	}
	return NULL;
}
