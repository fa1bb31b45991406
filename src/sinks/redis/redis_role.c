/*
 * redis_role.c
 *	  Is it a primary, and what did a failover lose of what was published?
 *
 * The role is asked after the messages of a batch, so a batch counts as published only where
 * the node was a primary after it had taken the batch.  A primary that was cut off from its
 * replicas still calls itself one, so what it confirmed may be lost all the same.  PUBLISH is
 * part of a primary's replication stream.  The position's detail therefore has the id of
 * that stream, and spans of what was published, each with the stream's offset after it.  A
 * new primary says from which offset on it has another history than the stream before.
 *
 * The detail is "<replication id> <when>:<offset>:<first audit_id> ...", when in seconds
 * since 1970.
 */
#include "postgres.h"

#include "sinks/redis/redis.h"

/* One span is that long, and is remembered that long after its end. */
#define SPAN_S			60
#define REMEMBERED_S	600
/* A subscriber that went over to the new primary heard less than that primary knows. */
#define RECENT_S		60
#define NO_ID			"-"
#define NO_HISTORY		"0000000000000000000000000000000000000000"

static int64
unix_seconds(void)
{
	return (int64) time(NULL);
}

/* The value of a line of INFO; NULL: there is none of the name.  At most size - 1 bytes. */
static const char *
info_value(const char *info, const char *name, char *value, Size size)
{
	Size		length = strlen(name);

	for (const char *line = info; line != NULL; line = strchr(line, '\n'))
	{
		line += *line == '\n';
		if (strncmp(line, name, length) != 0 || line[length] != ':')
			continue;
		line += length + 1;
		strlcpy(value, line, Min(size, strcspn(line, "\r\n") + 1));
		return value;
	}
	return NULL;
}

static AdminSinkResult
not_primary(Redis *redis, const char *role)
{
	if (strcmp(role, "slave") == 0)
		return redis_outage(redis, "Redis at %s is a replica; name the primary in admin_ext.redis_url, by a name that follows a failover",
							redis->config.where);
	return redis_outage(redis, "Redis at %s does not say that it is a primary (role \"%s\"); name the primary in admin_ext.redis_url, by a name that follows a failover",
						redis->config.where, redis_shown(role, REDIS_SHOWN_BYTES));
}

/*
 * The id is another one on the same connection.  A primary also gets one with its first
 * replica, and then has no history before it: nothing is lost.
 */
static AdminSinkResult
take_replication_id(Redis *redis, const char *id)
{
	RedisHistory *history = &redis->history;
	bool		is_first_replica = strcmp(redis->previous_id, NO_HISTORY) == 0;

	strlcpy(redis->replication_id, id, sizeof(redis->replication_id));
	if (redis->phase != REDIS_READY || strcmp(history->replication_id, id) == 0)
		return ADMIN_SINK_OK;
	if (!is_first_replica)
		return redis_outage(redis, "Redis at %s was a replica in between; what this failover may have lost is published again",
							redis->config.where);
	strlcpy(history->replication_id, id, sizeof(history->replication_id));
	return ADMIN_SINK_OK;
}

static AdminSinkResult
take_info(Redis *redis, const char *info)
{
	char		value[REDIS_SHOWN_BYTES];
	char		id[REDIS_ID_BYTES];

	if (info_value(info, "role", value, sizeof(value)) == NULL || strcmp(value, "master") != 0)
		return not_primary(redis, info_value(info, "role", value, sizeof(value)) ? value : "");
	redis->offset = info_value(info, "master_repl_offset", value, sizeof(value)) ? strtoll(value, NULL, 10) : 0;
	redis->previous_end = info_value(info, "second_repl_offset", value, sizeof(value)) ? strtoll(value, NULL, 10) : 0;
	if (info_value(info, "master_replid2", redis->previous_id, sizeof(redis->previous_id)) == NULL)
		strcpy(redis->previous_id, NO_ID);
	return take_replication_id(redis, info_value(info, "master_replid", id, sizeof(id)) ? id : NO_ID);
}

/* What a user without +info gets: the role, and no id. */
static AdminSinkResult
take_role(Redis *redis, const redisReply *reply)
{
	const redisReply *role = reply->elements > 0 ? reply->element[0] : NULL;

	if (role == NULL || role->type != REDIS_REPLY_STRING || strcmp(role->str, "master") != 0)
		return not_primary(redis, role != NULL && role->type == REDIS_REPLY_STRING ? role->str : "");
	redis->offset = 0;
	strcpy(redis->previous_id, NO_HISTORY);
	return take_replication_id(redis, NO_ID);
}

AdminSinkResult
redis_take_role(Redis *redis, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ARRAY)
		return take_role(redis, reply);
	return reply->type == REDIS_REPLY_STRING ? take_info(redis, reply->str) : not_primary(redis, "");
}

static void
history_read(RedisHistory *history, const char *detail)
{
	int			length = 0;
	long long	until;
	long long	offset;
	long long	first;

	memset(history, 0, sizeof(*history));
	if (sscanf(detail, "%40s%n", history->replication_id, &length) != 1)
		strcpy(history->replication_id, NO_ID);
	for (detail += length; history->count < REDIS_SPANS &&
		 sscanf(detail, " %lld:%lld:%lld%n", &until, &offset, &first, &length) == 3; detail += length)
		history->spans[history->count++] = (RedisSpan)
	{
		until, offset, first
	};
}

void
redis_history_write(const Redis *redis, char *detail, Size size)
{
	const RedisHistory *history = &redis->history;
	int			used = snprintf(detail, size, "%s", history->replication_id);

	for (int i = 0; i < history->count; i++)
		used += snprintf(detail + used, size - used, " " INT64_FORMAT ":" INT64_FORMAT ":" INT64_FORMAT,
						 history->spans[i].until, history->spans[i].offset, history->spans[i].first_audit_id);
}

static void
forget_spans(RedisHistory *history, int64 before)
{
	int			kept = 0;

	for (int i = 0; i < history->count; i++)
	{
		if (history->spans[i].until >= before)
			history->spans[kept++] = history->spans[i];
	}
	history->count = kept;
}

/* A span ends with its last message, so that it is not forgotten too early. */
void
redis_history_add(Redis *redis, int64 first_audit_id)
{
	RedisHistory *history = &redis->history;
	int64		now = unix_seconds();
	RedisSpan  *last;

	forget_spans(history, now - REMEMBERED_S);
	last = history->count > 0 ? &history->spans[history->count - 1] : NULL;
	if (last == NULL || (history->count < REDIS_SPANS && now / SPAN_S != last->until / SPAN_S))
	{
		last = &history->spans[history->count++];
		last->first_audit_id = first_audit_id;
	}
	last->until = now;
	last->offset = redis->offset;
	last->first_audit_id = Min(last->first_audit_id, first_audit_id);
}

/* Has the new history this span, and was it over long before? */
static bool
is_safe(const Redis *redis, const RedisSpan *span, bool is_successor, int64 now)
{
	return is_successor && span->offset < redis->previous_end && span->until < now - RECENT_S;
}

/*
 * On a new connection: what this Redis may not have is to be published again.  An id that
 * is not known is another one.
 */
void
redis_history_resume(Redis *redis, AdminSinkPosition *position)
{
	RedisHistory *history = &redis->history;
	int64		now = unix_seconds();
	bool		is_successor;
	int			kept = 0;

	history_read(history, position->detail);
	/* An operator has decided what is sent again. */
	if (position->is_resync)
		history->count = 0;
	forget_spans(history, now - REMEMBERED_S);
	is_successor = strcmp(redis->previous_id, history->replication_id) == 0 && strcmp(redis->previous_id, NO_ID) != 0;
	if (strcmp(history->replication_id, redis->replication_id) != 0 || strcmp(redis->replication_id, NO_ID) == 0)
	{
		for (int i = 0; i < history->count; i++)
		{
			const RedisSpan *span = &history->spans[i];

			if (is_safe(redis, span, is_successor, now))
				history->spans[kept++] = *span;
			else if (position->again_from == 0 || span->first_audit_id < position->again_from)
				position->again_from = span->first_audit_id;
		}
		history->count = kept;
	}
	strlcpy(history->replication_id, redis->replication_id, sizeof(history->replication_id));
	redis_history_write(redis, position->detail, sizeof(position->detail));
}
