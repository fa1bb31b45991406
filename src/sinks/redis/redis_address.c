/*
 * redis_address.c
 *	  Finds the addresses of a host without waiting for a name service that hangs.
 *
 * A thread of the C library looks up the name.  It has all signals blocked, and touches only the
 * request.  It cannot be stopped, so the request outlives the sink: the next lookup of the same
 * name waits for the same answer.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "sinks/redis/redis_address.h"
#include "sinks/redis/redis_errors.h"
#include "sinks/redis/redis_types.h"

typedef struct Lookup
{
	struct gaicb request;
	struct addrinfo hints;
	char	   *host;
	char	   *port;
} Lookup;

/* Under way, or answered and not yet taken; NULL: none. */
static Lookup *current = NULL;

static void
forget_lookup(Lookup *lookup)
{
	pfree(lookup->host);
	pfree(lookup->port);
	pfree(lookup);
}

/* Begins to look the name up, unless that is under way. */
static int
begin_lookup(const RedisConfig *config)
{
	struct gaicb *request;
	int			code;

	if (current != NULL && strcmp(current->host, config->host) == 0 && strcmp(current->port, config->port) == 0)
		return 0;

	/* An unfinished lookup of an earlier name is left behind for good: a few bytes per reload. */
	current = MemoryContextAllocZero(TopMemoryContext, sizeof(Lookup));
	current->host = MemoryContextStrdup(TopMemoryContext, config->host);
	current->port = MemoryContextStrdup(TopMemoryContext, config->port);
	current->hints.ai_socktype = SOCK_STREAM;
	current->request.ar_name = current->host;
	current->request.ar_service = current->port;
	current->request.ar_request = &current->hints;
	request = &current->request;
	code = getaddrinfo_a(GAI_NOWAIT, &request, 1, NULL);
	if (code != 0)
	{
		forget_lookup(current);
		current = NULL;
	}
	return code;
}

/* Hands the answer over, and begins afresh next time. */
static int
take_addresses(struct addrinfo **addresses)
{
	Lookup	   *lookup = current;
	int			code = gai_error(&lookup->request);

	if (code == EAI_INPROGRESS)
		return code;
	*addresses = lookup->request.ar_result;
	current = NULL;
	forget_lookup(lookup);
	return code;
}

static AdminSinkResult
not_found(Redis *redis, int code)
{
	return redis_outage(redis, "could not find the address of host \"%s\": %s; correct admin_ext.redis_url, or see to the name service",
						redis_shown(redis->config.host, REDIS_SHOWN_BYTES), gai_strerror(code));
}

AdminSinkResult
redis_look_up(Redis *redis, int64 until)
{
	int			code = begin_lookup(&redis->config);
	const struct gaicb *request;
	int64		left = until - monotonic_ms();
	struct timespec slice = {.tv_sec = 0, .tv_nsec = Max(left, 0) * 1000000};

	if (code == 0)
	{
		request = &current->request;
		(void) gai_suspend(&request, 1, &slice);
		CHECK_FOR_INTERRUPTS();
		code = take_addresses(&redis->addresses);
	}
	if (code == EAI_INPROGRESS)
		return monotonic_ms() < redis->deadline ? ADMIN_SINK_PENDING :
			redis_outage(redis, "the name service does not answer for host \"%s\"; see to it, or write an address in admin_ext.redis_url",
						 redis_shown(redis->config.host, REDIS_SHOWN_BYTES));
	return code == 0 ? ADMIN_SINK_OK : not_found(redis, code);
}
