/*
 * redis.c
 *	  The Redis sink: publishes each change of an approval to a channel,
 *	  after its commit, in order per approval.
 *
 * The commands of a batch are sent in one go while their replies are read.  The batch is delivered
 * when each has been answered and the server, asked after them, is a primary.  Only then is the
 * position recorded, so messages sent before an outage or a failover may be sent again.  Delivery
 * is at least once; audit_id identifies duplicates.
 *
 * The connection is also watched while there are no messages to send.  So the worker's state shows
 * that Redis is down before the next message fails.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "sinks/redis/redis_errors.h"
#include "sinks/redis/redis_message.h"
#include "sinks/redis/redis_ranges.h"
#include "sinks/redis/redis_role.h"
#include "sinks/redis/redis_transport.h"
#include "sinks/redis/redis_types.h"
#include "sinks/redis/redis_url.h"

PG_MODULE_MAGIC;

#define CONNECTION_NAME		"admin_ext"
#define PING_AFTER_MS		1000
#define READ_BYTES			16384
#define WRITE_BYTES			(256 * 1024)
#define MOST_REPLY_BYTES	(1024 * 1024)
#define MOST_ELEMENTS		1024	/* of the reply to ROLE */
#define KEPT_BYTES			(1024 * 1024)	/* of a buffer that a large batch has made grow */
/* What the protocol adds to a command, and to each of its arguments, at most. */
#define FRAME_BYTES			32
#define INTERRUPTS_EVERY	256

extern PGDLLEXPORT const AdminSinkCallbacks *_PG_admin_sink_init(void);

/* Queues a command; its reply is then due. */
static void
redis_say(Redis *redis, RedisCommand command, int count, const char **arguments, const size_t *lengths)
{
	Size		bound = FRAME_BYTES;
	char	   *text;
	int			length;

	/* The text that hiredis allocates below must be freed: no call in between may raise an error. */
	for (int i = 0; i < count; i++)
		bound += lengths[i] + FRAME_BYTES;
	enlargeStringInfo(&redis->out, bound);
	appendStringInfoChar(&redis->due, command);
	length = redisFormatCommandArgv(&text, count, arguments, lengths);
	if (length < 0)
		elog(ERROR, "out of memory");
	appendBinaryStringInfo(&redis->out, text, length);
	redisFreeCommand(text);
}

/* Queues a command of one to three words; NULL ends them. */
static void
say_words(Redis *redis, RedisCommand command, const char *first, const char *second, const char *third)
{
	const char *words[] = {first, second, third};
	size_t		lengths[lengthof(words)];
	int			count = 0;

	for (; count < lengthof(words) && words[count] != NULL; count++)
		lengths[count] = strlen(words[count]);
	redis_say(redis, command, count, words, lengths);
}

/*
 * Asks whether the server is a primary.  INFO also names its replication history, but a user may
 * only have the right to ROLE.
 */
static void
ask_role(Redis *redis)
{
	if (redis->asks_role)
		say_words(redis, REDIS_ROLE, "ROLE", NULL, NULL);
	else
		say_words(redis, REDIS_INFO, "INFO", "replication", NULL);
}

/*
 * Is the reply a refusal that matters?  Without the right to SETNAME or PING the sink still works:
 * the server has answered.
 */
static bool
is_refusal(RedisCommand command, const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ERROR &&
		!((command == REDIS_SETNAME || command == REDIS_PING) && strncmp(reply->str, "NOPERM", strlen("NOPERM")) == 0);
}

static AdminSinkResult
take_reply(Redis *redis, RedisCommand command, const redisReply *reply)
{
	if (command == REDIS_INFO && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOPERM", strlen("NOPERM")) == 0)
	{
		redis->asks_role = true;
		ask_role(redis);
		return ADMIN_SINK_OK;
	}
	if (is_refusal(command, reply))
		return redis_refused(redis, command, reply->str);
	if (redis->answered == redis->due.len)
		return redis_outage(redis, "Redis at %s has answered what it was not asked", redis->config.where);
	return command == REDIS_INFO || command == REDIS_ROLE ? redis_take_role(redis, reply) : ADMIN_SINK_OK;
}

/* Handles the replies of the server, one by one. */
static AdminSinkResult
take_replies(Redis *redis)
{
	void	   *reply;
	RedisCommand command;
	AdminSinkResult result = ADMIN_SINK_OK;

	while (result == ADMIN_SINK_OK)
	{
		if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK)
			return redis_outage(redis, "what answers at %s does not speak Redis's protocol; correct admin_ext.redis_url",
								redis->config.where);
		if (reply == NULL)
			break;
		command = redis->answered < redis->due.len ? redis->due.data[redis->answered] : REDIS_PING;
		result = take_reply(redis, command, reply);
		redis->answered++;
		redis->progress_at = monotonic_ms();
		freeReplyObject(reply);
	}
	return result;
}

/* Reads the bytes that have arrived; *is_more: there were some. */
static AdminSinkResult
listen_once(Redis *redis, bool *is_more)
{
	char		data[READ_BYTES];
	int			bytes = redis_read(redis, data, sizeof(data));

	if (bytes < 0)
		return ADMIN_SINK_RETRY;
	*is_more |= bytes > 0;
	if (bytes == 0)
		return ADMIN_SINK_OK;
	redis->is_heard = true;
	redis->heard_at = monotonic_ms();
	if (redis->reader->len > MOST_REPLY_BYTES || redisReaderFeed(redis->reader, data, bytes) != REDIS_OK)
		return redis_outage(redis, "what answers at %s does not speak Redis's protocol; correct admin_ext.redis_url",
							redis->config.where);
	return take_replies(redis);
}

static AdminSinkResult
speak_once(Redis *redis, bool *is_more)
{
	int			left = redis->out.len - redis->sent;
	int			bytes = left == 0 ? 0 : redis_write(redis, redis->out.data + redis->sent, Min(left, WRITE_BYTES));

	if (bytes < 0)
		return ADMIN_SINK_RETRY;
	if (bytes > 0)
	{
		*is_more = true;
		redis->sent += bytes;
		redis->progress_at = monotonic_ms();
	}
	return ADMIN_SINK_OK;
}

static void
empty_buffer(StringInfo buffer)
{
	if (buffer->maxlen > KEPT_BYTES)
	{
		pfree(buffer->data);
		initStringInfo(buffer);
	}
	resetStringInfo(buffer);
}

/* Clears the buffers once all commands are answered. */
static void
end_exchange(Redis *redis)
{
	MemoryContext before = MemoryContextSwitchTo(redis->sink->context);

	empty_buffer(&redis->out);
	empty_buffer(&redis->due);
	redis->sent = redis->answered = 0;
	MemoryContextSwitchTo(before);
}

/*
 * Sends and reads until all commands are answered, or until the deadline.  It does both at the same
 * time: otherwise both sides could wait for the other one to read.
 */
static AdminSinkResult
redis_exchange(Redis *redis, int64 until)
{
	for (;;)
	{
		bool		is_more = false;
		AdminSinkResult spoken;
		AdminSinkResult heard;
		int64		now;

		redis->awaited = 0;
		spoken = speak_once(redis, &is_more);
		/* A server that takes no more bytes may have said why before. */
		heard = listen_once(redis, &is_more);
		if (spoken != ADMIN_SINK_OK || heard != ADMIN_SINK_OK)
			return ADMIN_SINK_RETRY;
		if (redis->answered == redis->due.len && redis->sent == redis->out.len)
		{
			end_exchange(redis);
			return ADMIN_SINK_OK;
		}
		now = monotonic_ms();
		if (!is_more && now >= redis->progress_at + REDIS_ANSWER_MS)
			return redis_no_answer(redis);
		if (now >= until)
			return ADMIN_SINK_PENDING;
		if (!is_more)
			redis_wait(redis, Min(until, redis->progress_at + REDIS_ANSWER_MS));
	}
}

static redisReplyObjectFunctions plain_functions;
static redisReplyObjectFunctions functions;

/* NULL makes the reader give up: it takes a missing object for a lack of memory. */
static void *
create_array(const redisReadTask *task, compat_elements count)
{
	const Redis *redis = task->privdata;

	return redis->asks_role && count <= MOST_ELEMENTS ? plain_functions.createArray(task, count) : NULL;
}

/*
 * Only ROLE is answered by an array.  Any other array is not even allocated, however many elements
 * it promises.
 */
static void
refuse_aggregates(Redis *redis)
{
	if (plain_functions.createArray == NULL)
		plain_functions = *redis->reader->fn;
	functions = plain_functions;
	functions.createArray = create_array;
	redis->reader->fn = &functions;
	redis->reader->privdata = redis;
}

static AdminSinkResult
redis_open(AdminSink *sink, AdminSinkPosition *seen)
{
	Redis	   *redis = MemoryContextAllocZero(sink->context, sizeof(Redis));
	MemoryContext before = MemoryContextSwitchTo(sink->context);

	redis->sink = sink;
	redis->socket = -1;
	redis->phase = REDIS_LOOKING_UP;
	redis->deadline = monotonic_ms() + REDIS_ANSWER_MS;
	redis->batch_context = AllocSetContextCreate(sink->context, "admin_ext Redis messages", ALLOCSET_DEFAULT_SIZES);
	initStringInfo(&redis->out);
	initStringInfo(&redis->due);
	initStringInfo(&redis->message);
	sink->state = redis;
	MemoryContextSwitchTo(before);
	redis->reader = redisReaderCreate();
	if (redis->reader == NULL)
		elog(ERROR, "out of memory");
	refuse_aggregates(redis);
	return redis_configure(redis);
}

/* Logs in; the last command finds out whether Redis is ready for more. */
static void
log_in(Redis *redis)
{
	const RedisConfig *config = &redis->config;

	redis->phase = REDIS_LOGGING_IN;
	redis->progress_at = redis->heard_at = monotonic_ms();
	if (config->user != NULL)
		say_words(redis, REDIS_AUTH, "AUTH", config->user, config->password);
	else if (config->password != NULL)
		say_words(redis, REDIS_AUTH, "AUTH", config->password, NULL);
	say_words(redis, REDIS_SETNAME, "CLIENT", "SETNAME", CONNECTION_NAME);
	if (config->database != 0)
		say_words(redis, REDIS_SELECT, "SELECT", psprintf("%d", config->database), NULL);
	say_words(redis, REDIS_PING, "PING", NULL, NULL);
	ask_role(redis);
}

/* Redis does not keep the position, but it knows which replication history it continues. */
static AdminSinkResult
redis_recover(AdminSink *sink, AdminSinkPosition *position)
{
	Redis	   *redis = sink->state;
	int64		until = monotonic_ms() + ADMIN_SINK_SLICE_MS;
	AdminSinkResult result = redis_connect(redis, until);

	if (result != ADMIN_SINK_OK)
		return result;
	if (redis->phase == REDIS_REACHED)
		log_in(redis);
	result = redis_exchange(redis, until);
	if (result == ADMIN_SINK_OK)
	{
		redis->phase = REDIS_READY;
		redis_history_resume(redis, position);
	}
	return result;
}

static void
say_message(Redis *redis, const char *message, int length)
{
	const char *xadd[] = {"XADD", redis->stream, "MAXLEN", "~", redis->stream_length, "*", "message", message};
	const char *publish[] = {"PUBLISH", redis->channel, message};
	size_t		lengths[lengthof(xadd)];

	/* First the stream: a subscriber that got a message must find it there. */
	if (redis->stream[0] != '\0')
	{
		for (int i = 0; i < lengthof(xadd) - 1; i++)
			lengths[i] = strlen(xadd[i]);
		lengths[lengthof(xadd) - 1] = length;
		redis_say(redis, REDIS_XADD, lengthof(xadd), xadd, lengths);
	}
	lengths[0] = strlen(publish[0]);
	lengths[1] = strlen(publish[1]);
	lengths[2] = length;
	redis_say(redis, REDIS_PUBLISH, lengthof(publish), publish, lengths);
}

/* All messages of the batch; or rejects a record that cannot become a message. */
static AdminSinkResult
say_messages(Redis *redis, AdminSinkBatch *batch)
{
	StringInfo	message = &redis->message;

	redis->rows.count = 0;
	for (int i = 0; i < batch->count; i++)
	{
		const AdminSinkRecord *record = &batch->records[i];

		resetStringInfo(message);
		MemoryContextReset(redis->batch_context);
		switch (redis_message(redis->sink, record->audit_id, batch->data + record->offset, record->length,
							  message, batch->rejected_error, sizeof(batch->rejected_error)))
		{
			case REDIS_MESSAGE_NONE:
				break;
			case REDIS_MESSAGE_MADE:
				say_message(redis, message->data, message->len);
				redis_ranges_add(&redis->rows, record->audit_id, record->audit_id);
				break;
			case REDIS_MESSAGE_IMPOSSIBLE:
				batch->rejected_record = i;
				return ADMIN_SINK_REJECTED;
		}
		if (i % INTERRUPTS_EVERY == 0)
			CHECK_FOR_INTERRUPTS();
	}
	/* A node that was demoted still takes messages, but they reach no subscriber. */
	if (redis->rows.count > 0)
		ask_role(redis);
	return ADMIN_SINK_OK;
}

/* Queues the whole batch or no command of it: a rejection removes all of them. */
static AdminSinkResult
redis_deliver(AdminSink *sink, AdminSinkBatch *batch)
{
	Redis	   *redis = sink->state;
	MemoryContext before = MemoryContextSwitchTo(redis->batch_context);
	int			out = redis->out.len;
	int			due = redis->due.len;
	AdminSinkResult result = say_messages(redis, batch);

	MemoryContextSwitchTo(before);
	MemoryContextReset(redis->batch_context);
	if (result != ADMIN_SINK_OK)
	{
		redis->out.len = out;
		redis->due.len = due;
	}
	/* A reply that is already due does not get more time by that. */
	else if (due == 0)
		redis->progress_at = monotonic_ms();
	return result;
}

/* Is the server still there?  Asks when no bytes came from it for a while; never waits. */
static AdminSinkResult
redis_look_after(Redis *redis)
{
	int64		now = monotonic_ms();
	AdminSinkResult result;

	if (redis->due.len == 0 && now - redis->heard_at >= PING_AFTER_MS)
	{
		say_words(redis, REDIS_PING, "PING", NULL, NULL);
		ask_role(redis);
		redis->progress_at = now;
	}
	result = redis_exchange(redis, now);
	return result == ADMIN_SINK_PENDING ? ADMIN_SINK_OK : result;
}

static AdminSinkResult
redis_confirm(AdminSink *sink, AdminSinkBatch *batch)
{
	Redis	   *redis = sink->state;
	bool		has_messages = redis->rows.count > 0;
	AdminSinkResult result = has_messages ? redis_exchange(redis, monotonic_ms() + ADMIN_SINK_SLICE_MS) : redis_look_after(redis);

	if (result == ADMIN_SINK_OK)
	{
		if (has_messages)
			redis_history_add(redis, &redis->rows, batch->position.tick_id == 0);
		redis->rows.count = 0;
		redis_history_write(redis, batch->position.detail, sizeof(batch->position.detail));
	}
	return result;
}

static AdminSinkResult
redis_idle(AdminSink *sink)
{
	return redis_look_after(sink->state);
}

static void
redis_close(AdminSink *sink)
{
	Redis	   *redis = sink->state;

	sink->state = NULL;
	if (redis == NULL)
		return;
	redis_disconnect(redis);
	if (redis->reader != NULL)
		redisReaderFree(redis->reader);
	redis->reader = NULL;
}

static const AdminSinkCallbacks callbacks = {
	.api_version = ADMIN_SINK_API_VERSION,
	.open = redis_open,
	.recover = redis_recover,
	.deliver = redis_deliver,
	.confirm = redis_confirm,
	.idle = redis_idle,
	.close = redis_close,
};

const AdminSinkCallbacks *
_PG_admin_sink_init(void)
{
	return &callbacks;
}
