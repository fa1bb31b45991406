/*
 * redis_errors.h
 *	  What is wrong with Redis, as one sentence a DBA can act on.
 */
#ifndef ADMIN_EXT_REDIS_ERRORS_H
#define ADMIN_EXT_REDIS_ERRORS_H

#include "sinks/redis/redis_types.h"

/* Sink->error, and the result that goes with it. */
extern AdminSinkResult redis_outage(Redis *redis, const char *format,...) pg_attribute_printf(2, 3);
extern AdminSinkResult redis_stop(Redis *redis, const char *format,...) pg_attribute_printf(2, 3);
extern AdminSinkResult redis_refused(Redis *redis, RedisCommand command, const char *reply);
extern AdminSinkResult redis_no_answer(Redis *redis);

/* As a piece of a sentence: one line, no bytes cut in two, and not too long. */
extern char *redis_shown(const char *text, int bytes);

#endif							/* ADMIN_EXT_REDIS_ERRORS_H */
