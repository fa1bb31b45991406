/*
 * kafka_settings.c
 *	  Defines the settings of the Kafka sink, and refuses wrong values.
 */
#include "postgres.h"

#include "settings_place.h"
#include "settings_secret.h"
#include "sinks/kafka/kafka_property.h"
#include "sinks/kafka/kafka_settings.h"
#include "text_limits.h"

/* The name of a database, which the topic may contain, is checked when the sink is opened. */
static bool
kafka_check_topic(char **value, void **extra, GucSource source)
{
	int			length;

	if (!settings_place_check(*value))
		return false;
	length = settings_place_most_bytes(*value, 1);
	if (length >= 1 && length <= TOPIC_MAX_BYTES && strstr(*value, "%%") == NULL &&
		(*value)[strspn(*value, TOPIC_CHARACTERS "%")] == '\0')
		return true;
	GUC_check_errdetail("A topic's name is 1 to %d letters, digits, dots, underscores and hyphens.", TOPIC_MAX_BYTES);
	return false;
}

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
 * name=value, separated by semicolons or line breaks.  A text of another form may be part of a
 * secret, so it is not shown; the property before it is.
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

/* A scheme must be one of HTTP's: no file is read, and no other protocol is used. */
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

static SecretSetting kafka_options = {
	.name = "admin_ext.kafka_options",
	.meaning = "Properties of librdkafka.",
	.details = "name=value, separated by semicolons or line breaks.",
	.is_good = are_options
};

static SecretSetting registry_url = {
	.name = "admin_ext.schema_registry_url",
	.meaning = "Schema registry; values carry its wire format where it is set.",
	.details = "http:// or https://.",
	.is_good = is_registry_url
};

static SecretSetting registry_auth = {
	.name = "admin_ext.schema_registry_auth",
	.meaning = "user:password of the schema registry."
};

SECRET_HOOKS(kafka_options)
SECRET_HOOKS(registry_url)
SECRET_HOOKS(registry_auth)

void
kafka_settings_init(void)
{
	static char *brokers;
	static PlaceSetting topic = {
		.name = "admin_ext.kafka_topic",
		.meaning = "Topic of the Kafka sink.",
		.details = "%d stands for the database, %s for the store id.",
		.value = "ptt.audit.trail",
		.check = kafka_check_topic
	};

	DefineCustomStringVariable("admin_ext.kafka_brokers", "Brokers of the Kafka sink, host:port,...",
							   NULL, &brokers, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	settings_place_define(&topic);
	SECRET_DEFINE(kafka_options);
	SECRET_DEFINE(registry_url);
	SECRET_DEFINE(registry_auth);
}
