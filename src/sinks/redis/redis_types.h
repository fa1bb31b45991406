/*
 * redis_types.h
 *	  The Redis sink: what its files share.
 *
 * hiredis knows the protocol, OpenSSL the transport.  Nothing blocks: whatever waits does so
 * on the worker's latch and the socket, for a slice at most, and serves interrupts.
 */
#ifndef ADMIN_EXT_REDIS_TYPES_H
#define ADMIN_EXT_REDIS_TYPES_H

#include "postgres.h"

#include <hiredis/hiredis.h>
#include <netdb.h>
#include <openssl/ssl.h>

#include "admin_ext_sink.h"
#include "lib/stringinfo.h"
#include "monotonic.h"

/* How hiredis counts the elements of an array; version 1.0 has changed the type. */
#if HIREDIS_MAJOR >= 1
typedef size_t compat_elements;
#else
typedef int compat_elements;
#endif

/* How long each phase of connecting may take, and how long an answer. */
#define REDIS_ANSWER_MS		5000
#define REDIS_SHOWN_BYTES	128 /* of a host, or of the name of a file */
#define REDIS_ID_BYTES		41	/* of a replication id, as text */
#define REDIS_SPANS			12

/* admin_ext.redis_url, taken apart. */
typedef struct RedisConfig
{
	bool		is_tls;
	char	   *user;			/* NULL: the default one */
	char	   *password;		/* NULL: no login */
	char	   *host;			/* without the brackets of IPv6 */
	char	   *port;
	char	   *socket_path;	/* of a unix socket; NULL: host and port */
	int			database;
	char	   *ca_file;		/* NULL: the system's */
	char	   *certificate_file;	/* NULL: none */
	char	   *key_file;
	char	   *where;			/* the server, as errors name it */
} RedisConfig;

typedef enum RedisPhase
{
	REDIS_LOOKING_UP,
	REDIS_CONNECTING,
	REDIS_SECURING,				/* the TLS handshake */
	REDIS_REACHED,				/* bytes go to and fro */
	REDIS_LOGGING_IN,
	REDIS_READY
} RedisPhase;

/* What an expected reply answers. */
typedef enum RedisCommand
{
	REDIS_AUTH,
	REDIS_SETNAME,
	REDIS_SELECT,
	REDIS_PING,
	REDIS_INFO,
	REDIS_ROLE,
	REDIS_XADD,
	REDIS_PUBLISH
} RedisCommand;

/* Messages that were published one after the other. */
typedef struct RedisSpan
{
	int64		until;			/* when the last one was, in seconds since 1970 */
	int64		offset;			/* of the primary's replication stream after it */
	AdminSinkRanges rows;		/* which ones */
} RedisSpan;

/* What a failover may have lost, from the oldest span to the newest. */
typedef struct RedisHistory
{
	char		replication_id[REDIS_ID_BYTES]; /* of the stream that the spans are in; "-":
												 * unknown */
	int			most_replicas;	/* that the primary has had at once, lately */
	int64		again_until;	/* when the last one of those that are repeated was published
								 * first; 0: none is */
	AdminSinkRanges again;		/* what is being repeated */
	int			count;
	RedisSpan	spans[REDIS_SPANS];
} RedisHistory;

typedef struct Redis
{
	AdminSink  *sink;
	RedisConfig config;
	char	   *channel;
	char	   *stream;			/* empty: none */
	char	   *stream_length;

	RedisPhase	phase;
	int64		deadline;		/* of the phase, while connecting */
	struct addrinfo *addresses; /* of the host */
	struct addrinfo *address;	/* the one that is tried */
	int			socket;			/* -1: none, or the bio's */
	BIO		   *bio;			/* NULL: not connected */
	SSL_CTX    *tls;
	uint32		awaited;		/* what the last attempt to read or write was blocked for, as
								 * WL_SOCKET_ */

	StringInfoData out;			/* commands, in the protocol's form */
	int			sent;			/* bytes of it */
	StringInfoData due;			/* a RedisCommand, as a byte, for each reply that is to come */
	int			answered;		/* of those */
	redisReader *reader;
	bool		is_heard;		/* the server has said something on this connection */
	int64		heard_at;
	int64		progress_at;	/* when something was sent or read */
	bool		asks_role;		/* by ROLE, for INFO is denied */
	char		replication_id[REDIS_ID_BYTES]; /* this and what follows as the server said last */
	char		previous_id[REDIS_ID_BYTES];	/* of the history before that id */
	int64		previous_end;	/* the first offset that is not of that history */
	int64		offset;			/* of the replication stream */
	int			replicas;		/* that are connected to it */
	int64		held_offset;	/* all of those have the stream up to here */
	int64		most_replicas_at;	/* when it had as many as ever, in seconds since 1970 */
	RedisHistory history;
	AdminSinkRanges rows;		/* whose messages are being confirmed; none: there are no messages */
	StringInfoData message;		/* of the record at hand */
	MemoryContext batch_context;	/* what making it takes */
} Redis;

typedef enum RedisMessage
{
	REDIS_MESSAGE_MADE,
	REDIS_MESSAGE_NONE,			/* the record is not one of our approval events */
	REDIS_MESSAGE_IMPOSSIBLE	/* it is one, and lacks what a message consists of */
} RedisMessage;

#endif							/* ADMIN_EXT_REDIS_TYPES_H */
