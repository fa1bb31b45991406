/*
 * redis_address.h
 *	  Finds the addresses of a host without waiting for a name service that hangs.
 */
#ifndef ADMIN_EXT_REDIS_ADDRESS_H
#define ADMIN_EXT_REDIS_ADDRESS_H

#include "sinks/redis/redis_types.h"

/* The addresses of the host, waited for until then at most. */
extern AdminSinkResult redis_look_up(Redis *redis, int64 until);

#endif							/* ADMIN_EXT_REDIS_ADDRESS_H */
