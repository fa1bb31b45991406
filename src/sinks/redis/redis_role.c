/*
 * redis_role.c
 *	  Checks that the server is a primary, and finds out which messages a failover may have lost.
 *
 * The role is asked after the messages of a batch, so a batch counts as published only where
 * the node was a primary after it had taken the batch.  A primary that was cut off from its
 * replicas still calls itself one, so what it confirmed may be lost all the same.  PUBLISH is
 * part of a primary's replication stream.  The position's detail therefore has the id of
 * that stream, and spans of what was published, each with the stream's offset after it.  A
 * new primary says from which offset on it has another history than the stream before.
 *
 * A user that may only use ROLE learns no id, so each connection may lead to another history.  The
 * primary says how far each replica has the stream.  A failover to a replica does not lose messages
 * that all replicas have.
 *
 * The detail is "<replication id>/<most replicas>/<again until>/<held until>/<rows that are repeated>
 * <when>:<offset>:<rows> ...", times in seconds since 1970, rows as ranges of audit_ids.
 */
#include "postgres.h"

#include "sinks/redis/redis_errors.h"
#include "sinks/redis/redis_ranges.h"
#include "sinks/redis/redis_role.h"
#include "sinks/redis/redis_types.h"

/* One span is that long, and is remembered that long after its end. */
#define SPAN_S			60
#define REMEMBERED_S	600
/* A subscriber that went over to the new primary heard less than that primary knows. */
#define RECENT_S		60
#define NO_ID			"-"
#define MOST_REPLICAS	1000
#define REPLICA_BYTES	512		/* what INFO says of one */
#define NO_HISTORY		"0000000000000000000000000000000000000000"

/*
 * All replicas have what was published up to this time, in seconds since 1970.  It outlives a
 * connection, and each position contains it from the next batch on.
 */
static int64 held_until = 0;

static int64
unix_seconds(void)
{
	return (int64) time(NULL);
}

/* The value of a line of INFO, at most size - 1 bytes; NULL: there is no such line. */
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
 * Takes the id of the replication stream.  A new id on the same connection usually means a
 * failover.  A primary also gets a new id with its first replica.  Then it has no history before
 * it, so nothing is lost.
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

/* Counts a replica; the offset of a replica that is not up to date is 0. */
static void
take_replica(Redis *redis, int64 offset)
{
	redis->held_offset = redis->replicas == 0 ? offset : Min(redis->held_offset, offset);
	redis->replicas++;
}

static void
take_replicas(Redis *redis, const char *info)
{
	char		name[32];
	char		replica[REPLICA_BYTES];
	const char *offset;

	redis->replicas = 0;
	while (redis->replicas < MOST_REPLICAS)
	{
		snprintf(name, sizeof(name), "slave%d", redis->replicas);
		if (info_value(info, name, replica, sizeof(replica)) == NULL)
			break;
		offset = strstr(replica, ",offset=");
		take_replica(redis, offset != NULL && strstr(replica, ",state=online") != NULL ?
					 strtoll(offset + strlen(",offset="), NULL, 10) : 0);
	}
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
	take_replicas(redis, info);
	return take_replication_id(redis, info_value(info, "master_replid", id, sizeof(id)) ? id : NO_ID);
}

static int64
reply_number(const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_INTEGER)
		return reply->integer;
	return reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : 0;
}

/* Each replica is an array of its address, its port and its offset. */
static void
take_role_replicas(Redis *redis, const redisReply *replicas)
{
	redis->replicas = 0;
	if (replicas->type != REDIS_REPLY_ARRAY)
		return;
	for (size_t i = 0; i < replicas->elements; i++)
	{
		const redisReply *replica = replicas->element[i];

		take_replica(redis, replica->type == REDIS_REPLY_ARRAY && replica->elements > 2 ? reply_number(replica->element[2]) : 0);
	}
}

/* Takes the reply to ROLE, for a user without +info: the role, but no id. */
static AdminSinkResult
take_role(Redis *redis, const redisReply *reply)
{
	const redisReply *role = reply->elements > 0 ? reply->element[0] : NULL;

	if (role == NULL || role->type != REDIS_REPLY_STRING || strcmp(role->str, "master") != 0)
		return not_primary(redis, role != NULL && role->type == REDIS_REPLY_STRING ? role->str : "");
	redis->offset = reply->elements > 1 ? reply_number(reply->element[1]) : 0;
	redis->replicas = 0;
	if (reply->elements > 2)
		take_role_replicas(redis, reply->element[2]);
	strcpy(redis->previous_id, NO_HISTORY);
	return take_replication_id(redis, NO_ID);
}

static void
history_read(RedisHistory *history, const char *detail)
{
	Size		id_length = strcspn(detail, " /");
	int			length = 0;
	long long	until;
	long long	offset;
	long long	again_until = 0;
	long long	held = 0;

	memset(history, 0, sizeof(*history));
	if (id_length == 0)
		strcpy(history->replication_id, NO_ID);
	else
		strlcpy(history->replication_id, detail, Min(sizeof(history->replication_id), id_length + 1));
	detail += id_length;
	(void) sscanf(detail, "/%d/%lld/%lld%n", &history->most_replicas, &again_until, &held, &length);
	history->again_until = again_until;
	held_until = Max(held_until, held);
	detail += length;
	if (*detail == '/')
		detail = redis_ranges_read(&history->again, detail + 1);
	while (history->count < REDIS_SPANS && sscanf(detail, " %lld:%lld:%n", &until, &offset, &length) == 2)
	{
		RedisSpan  *span = &history->spans[history->count++];

		span->until = until;
		span->offset = offset;
		detail = redis_ranges_read(&span->rows, detail + length);
	}
}

void
redis_history_write(const Redis *redis, char *detail, Size size)
{
	const RedisHistory *history = &redis->history;
	int			used = snprintf(detail, size, "%s/%d/" INT64_FORMAT "/" INT64_FORMAT "/", history->replication_id,
								history->most_replicas, history->again_until, held_until);

	used += redis_ranges_write(&history->again, detail + used, size - used);
	for (int i = 0; i < history->count; i++)
	{
		const RedisSpan *span = &history->spans[i];

		used += snprintf(detail + used, size - used, " " INT64_FORMAT ":" INT64_FORMAT ":", span->until, span->offset);
		used += redis_ranges_write(&span->rows, detail + used, size - used);
	}
	/* Twelve spans of eight ranges, each of two numbers. */
	Assert(used < (int) size);
}

/*
 * Do all replicas have this span?  Without an id only: otherwise the next primary says what it has.
 */
static bool
is_held(const RedisHistory *history, const RedisSpan *span)
{
	return strcmp(history->replication_id, NO_ID) == 0 && span->until <= held_until;
}

/* Forgets spans that are too old and, without an id, spans that all replicas have. */
static void
forget_spans(RedisHistory *history, int64 now)
{
	int			kept = 0;

	for (int i = 0; i < history->count; i++)
	{
		int64		until = history->spans[i].until;

		if (until >= now - REMEMBERED_S && !(is_held(history, &history->spans[i]) && until < now - RECENT_S))
			history->spans[kept++] = history->spans[i];
	}
	history->count = kept;
}

/*
 * Notes what all replicas have.  A replica that was connected lately, and is not now, could become
 * the next primary.  Then the offsets of the others prove nothing.
 */
static void
history_confirm(Redis *redis)
{
	RedisHistory *history = &redis->history;
	int64		now = unix_seconds();

	if (redis->replicas >= history->most_replicas || now - redis->most_replicas_at > REMEMBERED_S)
	{
		history->most_replicas = redis->replicas;
		redis->most_replicas_at = now;
	}
	if (redis->replicas == 0 || redis->replicas < history->most_replicas)
		return;
	for (int i = 0; i < history->count; i++)
	{
		const RedisSpan *span = &history->spans[i];

		/* The last span may still grow in the same second. */
		bool		is_over = i < history->count - 1 || span->until < now;

		if (is_over && span->offset <= redis->held_offset)
			held_until = Max(held_until, span->until);
	}
}

AdminSinkResult
redis_take_role(Redis *redis, const redisReply *reply)
{
	AdminSinkResult result;

	if (reply->type == REDIS_REPLY_ARRAY)
		result = take_role(redis, reply);
	else
		result = reply->type == REDIS_REPLY_STRING ? take_info(redis, reply->str) : not_primary(redis, "");
	if (result == ADMIN_SINK_OK && redis->phase == REDIS_READY)
		history_confirm(redis);
	return result;
}

/* Begins a new last span.  Joins the last two if all replicas have them and their times match. */
static RedisSpan *
begin_span(RedisHistory *history)
{
	RedisSpan  *spans = history->spans;
	int			last = history->count - 1;

	if (last > 0 && is_held(history, &spans[last]) && spans[last].until / SPAN_S == spans[last - 1].until / SPAN_S)
	{
		spans[last - 1].until = spans[last].until;
		spans[last - 1].offset = spans[last].offset;
		redis_ranges_add_all(&spans[last - 1].rows, &spans[last].rows);
	}
	else
		last = history->count++;
	spans[last].rows.count = 0;
	return &spans[last];
}

/*
 * A span has the time of its last message, so that it is not forgotten too early.  Without an id
 * each connection repeats messages.  A repeated message keeps the time of its first publication, or
 * it would be repeated for ever.
 */
void
redis_history_add(Redis *redis, const AdminSinkRanges *rows, bool again)
{
	RedisHistory *history = &redis->history;
	int64		now = unix_seconds();
	RedisSpan  *last;

	forget_spans(history, now);
	if (again && history->again_until != 0)
		now = history->again_until;
	last = history->count > 0 ? &history->spans[history->count - 1] : NULL;
	if (last == NULL || (history->count < REDIS_SPANS && (now / SPAN_S != last->until / SPAN_S || is_held(history, last))))
		last = begin_span(history);
	last->until = now;
	last->offset = redis->offset;
	redis_ranges_add_all(&last->rows, rows);
}

/* Does the new history have this span, and did the span end long before? */
static bool
is_safe(const Redis *redis, const RedisSpan *span, bool is_successor, int64 now)
{
	return is_successor && span->offset < redis->previous_end && span->until < now - RECENT_S;
}

/*
 * Repeats the rows that this Redis may not have, and the rest of the repetition under way.  After
 * an operator's resync, that rest is all rows from the next one on.
 */
static void
repeat_rows(RedisHistory *history, const AdminSinkRanges *lost, AdminSinkPosition *position)
{
	bool		is_of_all = position->repeating_from != 0 && history->again.count == 0;

	if (lost->count > 0 && is_of_all)
		redis_ranges_add(&history->again, position->repeating_from, PG_INT64_MAX);
	redis_ranges_add_all(&history->again, lost);
	position->again = history->again;
	position->again_from = lost->count > 0 ? lost->ranges[0].first : 0;
}

/*
 * Called on a new connection: rows that this Redis may not have are to be published again.  An
 * unknown id counts as another one.
 */
void
redis_history_resume(Redis *redis, AdminSinkPosition *position)
{
	RedisHistory *history = &redis->history;
	int64		now = unix_seconds();
	bool		is_unknown = strcmp(redis->replication_id, NO_ID) == 0;
	bool		is_successor;
	AdminSinkRanges lost = {0};
	int			kept = 0;

	history_read(history, position->detail);
	/* An operator has decided what is sent again. */
	if (position->is_resync)
		history->count = history->again_until = history->again.count = 0;
	/* Rows that a repetition has passed are not repeated again. */
	if (position->repeating_from == 0)
		history->again.count = 0;
	redis_ranges_drop_below(&history->again, position->repeating_from);
	if (!is_unknown)
		history->again_until = 0;
	redis->most_replicas_at = now;
	forget_spans(history, now);
	is_successor = strcmp(redis->previous_id, history->replication_id) == 0 && strcmp(redis->previous_id, NO_ID) != 0;
	if (strcmp(history->replication_id, redis->replication_id) != 0 || is_unknown)
	{
		for (int i = 0; i < history->count; i++)
		{
			const RedisSpan *span = &history->spans[i];

			if (is_safe(redis, span, is_successor, now))
				history->spans[kept++] = *span;
			else
				redis_ranges_add_all(&lost, &span->rows);
			if (lost.count > 0 && is_unknown)
				history->again_until = Max(history->again_until, span->until);
		}
		history->count = kept;
	}
	repeat_rows(history, &lost, position);
	strlcpy(history->replication_id, redis->replication_id, sizeof(history->replication_id));
	redis_history_write(redis, position->detail, sizeof(position->detail));
}
