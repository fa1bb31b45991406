/*
 * redis_errors.c
 *	  What is wrong with Redis, as one sentence a DBA can act on.
 *
 * Redis's own words are shown, because it knows best what it refuses.  Words that repeat what was
 * sent are not shown, because that may be a password.
 */
#include "postgres.h"

#include "sinks/redis/redis_errors.h"
#include "sinks/redis/redis_types.h"

#define SHOWN_BYTES			64	/* of a name */
#define SHOWN_REPLY_BYTES	160

/* Replies by the words they begin with. */
static const struct
{
	const char *reply;
	const char *remedy;
}			remedies[] = {
	{"NOAUTH", "put user and password into admin_ext.redis_url"},
	{"WRONGPASS", "correct user and password in admin_ext.redis_url"},
	{"ERR invalid password", "correct user and password in admin_ext.redis_url"},
	{"ERR AUTH", "set a password there, or take it out of admin_ext.redis_url"},
	{"ERR Client sent AUTH", "set a password there, or take it out of admin_ext.redis_url"},
	{"ERR wrong number of arguments for 'auth'", "a user needs Redis 6 or newer"},
	{"ERR DB index", "correct the database in admin_ext.redis_url"},
	{"ERR invalid DB index", "correct the database in admin_ext.redis_url"},
	{"ERR SELECT is not allowed", "correct the database in admin_ext.redis_url"},
	{"ERR unknown command", "use Redis 5 or newer, and leave its commands their names"},
	{"ERR max number of clients", "raise its maxclients"},
	{"DENIED", "let it ask for a password, and put that into admin_ext.redis_url"},
	{"LOADING", "wait until it has read its data"},
	{"READONLY", "name the primary in admin_ext.redis_url"},
	{"MASTERDOWN", "name the primary in admin_ext.redis_url"},
	{"NOREPLICAS", "bring its replicas back"},
	{"MISCONF", "see to its disk"},
	{"OOM", "raise its maxmemory, or make room there"},
	{"WRONGTYPE", "remove that key, or set another admin_ext.redis_stream"},
	{"MOVED", "name the node that has the stream in admin_ext.redis_url"},
	{"ASK", "name the node that has the stream in admin_ext.redis_url"},
	{"CLUSTERDOWN", "bring the cluster back"},
	{"BUSY", "wait for the script that it runs, or end it by SCRIPT KILL"},
};

static void set_error(Redis *redis, const char *format, va_list arguments) pg_attribute_printf(2, 0);

static void
set_error(Redis *redis, const char *format, va_list arguments)
{
	vsnprintf(redis->sink->error, sizeof(redis->sink->error), format, arguments);
}

AdminSinkResult
redis_outage(Redis *redis, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	set_error(redis, format, arguments);
	va_end(arguments);
	return ADMIN_SINK_RETRY;
}

AdminSinkResult
redis_stop(Redis *redis, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	set_error(redis, format, arguments);
	va_end(arguments);
	return ADMIN_SINK_STOP;
}

char *
redis_shown(const char *text, int bytes)
{
	char	   *copy = pnstrdup(text, Min(strlen(text), bytes));

	for (char *c = copy; *c != '\0'; c++)
	{
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	return copy;
}

static char *
what_of(const Redis *redis, RedisCommand command)
{
	switch (command)
	{
		case REDIS_AUTH:
			return pstrdup("log in");
		case REDIS_SETNAME:
			return pstrdup("name the connection");
		case REDIS_SELECT:
			return psprintf("select database %d", redis->config.database);
		case REDIS_PING:
			return pstrdup("try the connection");
		case REDIS_INFO:
		case REDIS_ROLE:
			return pstrdup("ask for the role");
		case REDIS_XADD:
			return psprintf("add to stream \"%s\"", redis_shown(redis->stream, SHOWN_BYTES));
		case REDIS_PUBLISH:
			return psprintf("publish to channel \"%s\"", redis_shown(redis->channel, SHOWN_BYTES));
	}
	return pstrdup("");
}

/* The access rules that a user lacks when Redis denies the command. */
static char *
rules_of(const Redis *redis, RedisCommand command)
{
	switch (command)
	{
		case REDIS_AUTH:
			return pstrdup("+auth");
		case REDIS_SELECT:
			return pstrdup("+select");
		case REDIS_SETNAME:
		case REDIS_PING:
			break;
		case REDIS_INFO:
		case REDIS_ROLE:
			return pstrdup("+info");
		case REDIS_XADD:
			return psprintf("+xadd ~%s", redis_shown(redis->stream, SHOWN_BYTES));
		case REDIS_PUBLISH:
			return psprintf("+publish &%s", redis_shown(redis->channel, SHOWN_BYTES));
	}
	return pstrdup("");
}

static const char *
redis_remedy(const Redis *redis, RedisCommand command, const char *reply)
{
	if (strncmp(reply, "NOPERM", 6) == 0)
		return psprintf("allow it by ACL SETUSER ... %s", rules_of(redis, command));
	for (int i = 0; i < lengthof(remedies); i++)
	{
		if (strncmp(reply, remedies[i].reply, strlen(remedies[i].reply)) == 0)
			return remedies[i].remedy;
	}
	return "see its log";
}

/* Redis's words without those that repeat arguments: in a login these are the password. */
static char *
words_of(const Redis *redis, RedisCommand command, const char *reply)
{
	const char *repeated = strstr(reply, ", with args");
	char	   *words = pnstrdup(reply, repeated ? repeated - reply : strlen(reply));

	if (command == REDIS_AUTH && strstr(words, redis->config.password) != NULL)
		words[strcspn(words, " ")] = '\0';
	return redis_shown(words, SHOWN_REPLY_BYTES);
}

AdminSinkResult
redis_refused(Redis *redis, RedisCommand command, const char *reply)
{
	const RedisConfig *config = &redis->config;

	return redis_outage(redis, "could not %s as user \"%s\" (Redis at %s): %s; %s", what_of(redis, command),
						config->user ? redis_shown(config->user, SHOWN_BYTES) : "default", config->where,
						words_of(redis, command, reply), redis_remedy(redis, command, reply));
}

AdminSinkResult
redis_no_answer(Redis *redis)
{
	return redis_outage(redis, "Redis at %s does not answer; see whether it runs, and whether its machine can be reached",
						redis->config.where);
}
