/*
 * redis_transport.h
 *	  A connection to Redis: TCP, TLS and unix socket alike, by OpenSSL's BIOs, which
 *	  never block.
 */
#ifndef ADMIN_EXT_REDIS_TRANSPORT_H
#define ADMIN_EXT_REDIS_TRANSPORT_H

#include "sinks/redis/redis_types.h"

/*
 * Goes on connecting until then at most.  Bytes read or written, 0 when
 * the socket would block, -1 with sink->error when the connection is lost.
 */
extern AdminSinkResult redis_connect(Redis *redis, int64 until);
extern int	redis_read(Redis *redis, char *data, int size);
extern int	redis_write(Redis *redis, const char *data, int length);

/* For what the last attempts were blocked for, and for bytes to read; serves interrupts. */
extern void redis_wait(Redis *redis, int64 until);
extern void redis_disconnect(Redis *redis);

#endif							/* ADMIN_EXT_REDIS_TRANSPORT_H */
