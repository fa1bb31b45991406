/*
 * redis_url.h
 *	  The functions of redis_url.c that other files call.
 */
#ifndef ADMIN_EXT_REDIS_URL_H
#define ADMIN_EXT_REDIS_URL_H

#include "sinks/redis/redis_types.h"

/* Reads the settings; ADMIN_SINK_STOP where the URL is of no use. */
extern AdminSinkResult redis_configure(Redis *redis);

#endif							/* ADMIN_EXT_REDIS_URL_H */
