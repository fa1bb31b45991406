/*
 * kafka_property_test.c
 *	  Which properties of librdkafka admin_ext.kafka_options takes.
 *
 * Links: src/sinks/kafka/kafka_property.c
 */
#include <string.h>

#include "sinks/kafka/kafka_property.h"
#include "tap.h"

static void
refused(const char *name, const char *value, const char *why)
{
	const char *problem = kafka_property_problem(name, strlen(name), value, strlen(value));

	ok(problem != NULL && strstr(problem, why) != NULL, "%s of value %.2x... is refused: %s", name, (unsigned char) value[0], why);
}

static void
taken(const char *name, const char *value)
{
	ok(kafka_property_problem(name, strlen(name), value, strlen(value)) == NULL, "%s is taken", name);
}

int
main(void)
{
	static const char *const loading[] = {
		"plugin.library.paths", "plugin.whatever.comes", "sasl.kerberos.kinit.cmd", "ssl.engine.location", "ssl.engine.id",
		"ssl.providers", "ssl.provider", "ssl_engine_callback_data", "interceptors", "topic.plugin.library.paths",
	};
	static const char *const internal[] = {
		"default_topic_conf", "enabled_events", "internal.termination.signal", "offset.store.path", "offset.store.method",
		"topic.offset.store.path", "open_cb", "socket_cb", "ssl.certificate.verify_cb", "topic.partitioner_cb",
	};
	static const char *const harmless[] = {
		"ssl.ca.location", "ssl.ca.pem", "ssl.key.location", "ssl.certificate.location", "ssl.keystore.location", "sasl.mechanism",
		"sasl.kerberos.service.name", "sasl.oauthbearer.method", "linger.ms", "topic.metadata.refresh.sparse", "debug", "compression.type",
		"statistics.interval.ms", "partitioner", "ssl", "_cb_",
	};
	static const char *const commands[] = {
		"$(id)", "`id`", "a;id", "a|id", "a&id", "a b", "\"", "'", "\\", "a\nb", "%{client.id}", "-c", "*", "~", "<x", ">x", "!x", "#",
	};

	for (size_t i = 0; i < sizeof(loading) / sizeof(loading[0]); i++)
		refused(loading[i], "x", "loads libraries or runs commands");
	for (size_t i = 0; i < sizeof(internal) / sizeof(internal[0]); i++)
		refused(internal[i], "x", "internal to librdkafka");
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		taken(harmless[i], "$(id)");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		refused("sasl.kerberos.principal", commands[i], "part of a command");
		refused("sasl.kerberos.keytab", commands[i], "part of a command");
	}
	ok(kafka_property_problem("sasl.kerberos.keytab", 20, "a\0b", 3) != NULL, "a null byte is refused");
	taken("sasl.kerberos.principal", "kafka/db-1.example.org@EXAMPLE.ORG");
	taken("sasl.kerberos.principal", "");
	taken("sasl.kerberos.keytab", "/etc/krb5/kafka_1.keytab");
	ok(kafka_property_problem("plugin.library.paths", 6, "x", 1) == NULL, "the name ends where its length says");
	return tap_done();
}
