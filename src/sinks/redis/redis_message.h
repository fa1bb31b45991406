/*
 * redis_message.h
 *	  The functions of redis_message.c that other files call.
 */
#ifndef ADMIN_EXT_REDIS_MESSAGE_H
#define ADMIN_EXT_REDIS_MESSAGE_H

#include "sinks/redis/redis_types.h"

/* Appends the message of a record.  Why it is impossible goes into error. */
extern RedisMessage redis_message(const AdminSink *sink, int64 audit_id, const char *document, Size length,
								  StringInfo message, char *error, Size size);

#endif							/* ADMIN_EXT_REDIS_MESSAGE_H */
