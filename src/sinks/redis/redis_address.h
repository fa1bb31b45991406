/*
 * redis_address.h
 *	  The functions of redis_address.c that other files call.
 */
#ifndef ADMIN_EXT_REDIS_ADDRESS_H
#define ADMIN_EXT_REDIS_ADDRESS_H

#include "sinks/redis/redis_types.h"

/* The addresses of the host, waited for until then at most. */
extern AdminSinkResult redis_look_up(Redis *redis, int64 until);

#endif							/* ADMIN_EXT_REDIS_ADDRESS_H */
