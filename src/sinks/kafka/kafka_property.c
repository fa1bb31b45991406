/*
 * kafka_property.c
 *	  Which of librdkafka's properties admin_ext.kafka_options does not take.
 *
 * Since PostgreSQL 15 the right to set it can be granted to a role that is not a superuser.  A
 * property that loads a library or runs a command would give that role the rights of the server's
 * user.  Names are those of librdkafka 2.0.2 to 2.16, which are case-sensitive.  Pure: does not use
 * PostgreSQL, allocates no memory.
 */
#include "sinks/kafka/kafka_property.h"

#include <stdbool.h>
#include <string.h>

#define TOPIC_PREFIX	"topic."

/*
 * Prefixes: each property that begins with one is refused, since a later librdkafka may have more
 * of the kind.
 */
static const char *const loading[] = {
	"interceptors",
	"plugin.",					/* plugin.library.paths: dlopen() */
	"sasl.kerberos.kinit.cmd",	/* a shell command */
	"ssl.engine.",				/* ssl.engine.location, ssl.engine.id: an OpenSSL engine */
	"ssl.provider",				/* ssl.providers: OpenSSL's modules, by name or by path */
	"ssl_engine",
};

/* What the sink's code or the server relies on: files of librdkafka's own, signals, its callbacks. */
static const char *const internal[] = {
	"default_topic_conf", "enabled_events", "internal.", "offset.store.",
};

/* Their values become part of the command line of kinit, which a shell reads. */
static const char *const in_command[] = {"sasl.kerberos.keytab", "sasl.kerberos.principal"};

static bool
begins_with(const char *text, size_t length, const char *with)
{
	return length >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

static bool
ends_with(const char *text, size_t length, const char *with)
{
	return length >= strlen(with) && memcmp(text + length - strlen(with), with, strlen(with)) == 0;
}

static bool
is_harmless_to_shell(const char *value, size_t length)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/@._-";

	for (size_t i = 0; i < length; i++)
	{
		if (value[i] == '\0' || strchr(plain, value[i]) == NULL)
			return false;
	}
	/* kinit would take a value that begins with a dash as an option. */
	return length == 0 || value[0] != '-';
}

const char *
kafka_property_problem(const char *name, size_t name_length, const char *value, size_t value_length)
{
	/* In front of a topic's property it means nothing to librdkafka. */
	if (begins_with(name, name_length, TOPIC_PREFIX))
	{
		name += strlen(TOPIC_PREFIX);
		name_length -= strlen(TOPIC_PREFIX);
	}
	for (size_t i = 0; i < sizeof(loading) / sizeof(loading[0]); i++)
	{
		if (begins_with(name, name_length, loading[i]))
			return "loads libraries or runs commands in the server, and cannot be set";
	}
	for (size_t i = 0; i < sizeof(internal) / sizeof(internal[0]); i++)
	{
		if (begins_with(name, name_length, internal[i]))
			return "is internal to librdkafka, and cannot be set";
	}
	if (ends_with(name, name_length, "_cb"))
		return "is internal to librdkafka, and cannot be set";
	for (size_t i = 0; i < sizeof(in_command) / sizeof(in_command[0]); i++)
	{
		if (name_length == strlen(in_command[i]) && begins_with(name, name_length, in_command[i]) &&
			!is_harmless_to_shell(value, value_length))
			return "is part of a command; only letters, digits and / @ . _ - are allowed in its value";
	}
	return NULL;
}
