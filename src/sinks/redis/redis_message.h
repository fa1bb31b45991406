/*
 * redis_message.h
 *	  Builds the message that a subscriber gets for a change of an approval.  It is made only of the
 *	  change's own document, its store and its database.
 */
#ifndef ADMIN_EXT_REDIS_MESSAGE_H
#define ADMIN_EXT_REDIS_MESSAGE_H

#include "sinks/redis/redis_types.h"

/* Appends the message of a record.  Why it is impossible goes into error. */
extern RedisMessage redis_message(const AdminSink *sink, int64 audit_id, const char *document, Size length,
								  StringInfo message, char *error, Size size);

#endif							/* ADMIN_EXT_REDIS_MESSAGE_H */
