/*
 * redis_url.h
 *	  Takes admin_ext.redis_url apart, and reads the other settings.
 */
#ifndef ADMIN_EXT_REDIS_URL_H
#define ADMIN_EXT_REDIS_URL_H

#include "sinks/redis/redis_types.h"

/* Reads the settings; ADMIN_SINK_STOP where the URL is of no use. */
extern AdminSinkResult redis_configure(Redis *redis);

#endif							/* ADMIN_EXT_REDIS_URL_H */
