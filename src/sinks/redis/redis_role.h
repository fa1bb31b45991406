/*
 * redis_role.h
 *	  Checks that the server is a primary, and finds out which messages a failover may have lost.
 */
#ifndef ADMIN_EXT_REDIS_ROLE_H
#define ADMIN_EXT_REDIS_ROLE_H

#include "sinks/redis/redis_types.h"

/* Takes the reply to INFO or ROLE; ADMIN_SINK_OK: from a primary of the history that is known. */
extern AdminSinkResult redis_take_role(Redis *redis, const redisReply *reply);

/* Sets position->again_from, again and detail by what this server has of what was published. */
extern void redis_history_resume(Redis *redis, AdminSinkPosition *position);

/* Messages of these rows have been published; again: not for the first time. */
extern void redis_history_add(Redis *redis, const AdminSinkRanges *rows, bool again);
extern void redis_history_write(const Redis *redis, char *detail, Size size);

#endif							/* ADMIN_EXT_REDIS_ROLE_H */
