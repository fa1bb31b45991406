/*
 * redis_url.h
 *	  What others call of redis_url.c.
 */
#ifndef ADMIN_EXT_REDIS_URL_H
#define ADMIN_EXT_REDIS_URL_H

#include "sinks/redis/redis_types.h"

/* Reads the settings; ADMIN_SINK_STOP where the URL is of no use. */
extern AdminSinkResult redis_configure(Redis *redis);

#endif							/* ADMIN_EXT_REDIS_URL_H */
