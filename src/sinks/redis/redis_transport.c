/*
 * redis_transport.c
 *	  A connection to Redis: TCP, TLS and unix socket alike, by OpenSSL's BIOs, which
 *	  never block.
 *
 * With TLS the server's certificate must always be signed by a trusted CA and name the host.  No
 * option turns this off.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "port.h"
#include "storage/latch.h"

#include "sinks/redis/redis_address.h"
#include "sinks/redis/redis_errors.h"
#include "sinks/redis/redis_transport.h"
#include "sinks/redis/redis_types.h"

static AdminSinkResult
not_connected(Redis *redis, int code)
{
	return redis_outage(redis, "could not connect to Redis at %s: %s; start it, or correct admin_ext.redis_url",
						redis->config.where, strerror(code));
}

static void
close_socket(Redis *redis)
{
	if (redis->socket >= 0)
		close(redis->socket);
	redis->socket = -1;
}

static void
enter_phase(Redis *redis, RedisPhase phase)
{
	redis->phase = phase;
	redis->deadline = monotonic_ms() + REDIS_ANSWER_MS;
}

/* Begins to connect; 0, or errno. */
static int
begin_connection(Redis *redis, int family, const struct sockaddr *address, socklen_t length)
{
	int			yes = 1;

	close_socket(redis);
	redis->socket = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (redis->socket < 0 || !pg_set_noblock(redis->socket))
		return errno;
	/* Messages are short, and must not be delayed. */
	if (family != AF_UNIX)
	{
		(void) setsockopt(redis->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		(void) setsockopt(redis->socket, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
	}
	if (connect(redis->socket, address, length) < 0 && errno != EINPROGRESS && errno != EINTR)
		return errno;
	enter_phase(redis, REDIS_CONNECTING);
	return 0;
}

static AdminSinkResult
connect_to_socket(Redis *redis)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			code = ENAMETOOLONG;

	if (strlcpy(address.sun_path, redis->config.socket_path, sizeof(address.sun_path)) < sizeof(address.sun_path))
		code = begin_connection(redis, AF_UNIX, (struct sockaddr *) &address, sizeof(address));
	return code == 0 ? ADMIN_SINK_PENDING : not_connected(redis, code);
}

/* Tries the addresses from this one on, until one does not fail at once; code: why the last did. */
static AdminSinkResult
connect_to_host(Redis *redis, int code)
{
	for (; redis->address != NULL; redis->address = redis->address->ai_next)
	{
		code = begin_connection(redis, redis->address->ai_family, redis->address->ai_addr, redis->address->ai_addrlen);
		if (code == 0)
			return ADMIN_SINK_PENDING;
	}
	close_socket(redis);
	return not_connected(redis, code);
}

static AdminSinkResult
connect_to_next(Redis *redis, int code)
{
	if (redis->config.socket_path != NULL)
		return not_connected(redis, code);
	redis->address = redis->address->ai_next;
	return connect_to_host(redis, code);
}

static AdminSinkResult
transport_look_up(Redis *redis, int64 until)
{
	AdminSinkResult result;

	if (redis->config.socket_path != NULL)
		return connect_to_socket(redis);
	result = redis_look_up(redis, until);
	if (result != ADMIN_SINK_OK)
		return result;
	redis->address = redis->addresses;
	return connect_to_host(redis, EHOSTUNREACH);
}

/* A passphrase cannot be asked for: the server has no terminal. */
static int
no_passphrase(char *buffer, int size, int is_writing, void *arg)
{
	return 0;
}

static const char *
tls_reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	return reason ? reason : "the file is of no use";
}

static AdminSinkResult
bad_file(Redis *redis, const char *file, const char *reason)
{
	return redis_outage(redis, "could not use file \"%s\", which admin_ext.redis_url names: %s",
						redis_shown(file, REDIS_SHOWN_BYTES), reason);
}

/* The files are read again with every connection: they are replaced from time to time. */
static AdminSinkResult
prepare_tls(Redis *redis)
{
	const RedisConfig *config = &redis->config;
	const char *files[] = {config->ca_file, config->certificate_file, config->key_file};
	SSL_CTX    *tls;

	for (int i = 0; i < lengthof(files); i++)
	{
		if (files[i] != NULL && access(files[i], R_OK) != 0)
			return bad_file(redis, files[i], strerror(errno));
	}
	ERR_clear_error();
	redis->tls = tls = SSL_CTX_new(TLS_client_method());
	if (tls == NULL)
		elog(ERROR, "out of memory");
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
	/* Replies are counted, so an early end is noticed all the same. */
	SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
	if (config->ca_file == NULL)
		(void) SSL_CTX_set_default_verify_paths(tls);
	else if (SSL_CTX_load_verify_locations(tls, config->ca_file, NULL) != 1)
		return bad_file(redis, config->ca_file, tls_reason());
	if (config->certificate_file == NULL)
		return ADMIN_SINK_OK;
	if (SSL_CTX_use_certificate_chain_file(tls, config->certificate_file) != 1)
		return bad_file(redis, config->certificate_file, tls_reason());
	if (SSL_CTX_use_PrivateKey_file(tls, config->key_file, SSL_FILETYPE_PEM) != 1)
		return bad_file(redis, config->key_file, tls_reason());
	return ADMIN_SINK_OK;
}

/* An IP address is compared with the certificate's addresses, and is not sent as a server name. */
static void
expect_host(SSL *ssl, const char *host)
{
	struct in6_addr address;
	bool		good;

	if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
		good = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	else
	{
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		good = SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
	}
	if (!good)
		elog(ERROR, "out of memory");
}

/* The socket is connected: from here on the bio has it. */
static AdminSinkResult
wrap_socket(Redis *redis)
{
	AdminSinkResult result = redis->config.is_tls ? prepare_tls(redis) : ADMIN_SINK_OK;
	BIO		   *layer;
	SSL		   *ssl;

	if (result != ADMIN_SINK_OK)
		return result;
	redis->bio = BIO_new_socket(redis->socket, BIO_CLOSE);
	if (redis->bio == NULL)
		elog(ERROR, "out of memory");
	if (!redis->config.is_tls)
	{
		enter_phase(redis, REDIS_REACHED);
		return ADMIN_SINK_PENDING;
	}
	layer = BIO_new_ssl(redis->tls, 1);
	if (layer == NULL)
		elog(ERROR, "out of memory");
	redis->bio = BIO_push(layer, redis->bio);
	BIO_get_ssl(redis->bio, &ssl);
	expect_host(ssl, redis->config.host);
	enter_phase(redis, REDIS_SECURING);
	return ADMIN_SINK_PENDING;
}

static AdminSinkResult
redis_connecting(Redis *redis, int64 until)
{
	int			code = 0;
	socklen_t	length = sizeof(code);

	redis->awaited = WL_SOCKET_WRITEABLE;
	redis_wait(redis, Min(until, redis->deadline));
	if (redis->awaited != 0)
		return monotonic_ms() < redis->deadline ? ADMIN_SINK_PENDING : connect_to_next(redis, ETIMEDOUT);
	if (getsockopt(redis->socket, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
		code = errno;
	return code == 0 ? wrap_socket(redis) : connect_to_next(redis, code);
}

static const char *
tls_remedy(long verified, const char *reason)
{
	if (verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH)
		return "write the host as its certificate names it in admin_ext.redis_url";
	if (verified != X509_V_OK)
		return "name the CA of its certificate as ssl_ca_certs in admin_ext.redis_url";
	if (strstr(reason, "alert") != NULL && (strstr(reason, "certificate") != NULL || strstr(reason, "unknown ca") != NULL))
		return "it wants a certificate that it trusts: correct ssl_certfile and ssl_keyfile in admin_ext.redis_url";
	return "if it speaks no TLS, write redis:// in admin_ext.redis_url";
}

static AdminSinkResult
no_tls(Redis *redis, const char *reason)
{
	SSL		   *ssl = NULL;
	long		verified = X509_V_OK;

	if (BIO_get_ssl(redis->bio, &ssl) > 0 && ssl != NULL)
		verified = SSL_get_verify_result(ssl);
	if (verified != X509_V_OK)
		reason = X509_verify_cert_error_string(verified);
	return redis_outage(redis, "could not speak TLS with Redis at %s: %s; %s", redis->config.where, reason,
						tls_remedy(verified, reason));
}

static void
take_blocked(Redis *redis)
{
	redis->awaited |= BIO_should_write(redis->bio) ? WL_SOCKET_WRITEABLE : WL_SOCKET_READABLE;
}

static AdminSinkResult
redis_securing(Redis *redis, int64 until)
{
	unsigned long code;
	const char *reason;

	ERR_clear_error();
	errno = 0;
	redis->awaited = 0;
	if (BIO_do_handshake(redis->bio) == 1)
	{
		enter_phase(redis, REDIS_REACHED);
		return ADMIN_SINK_PENDING;
	}
	if (!BIO_should_retry(redis->bio))
	{
		code = ERR_peek_error();
		reason = code != 0 ? ERR_reason_error_string(code) : NULL;
		return no_tls(redis, reason ? reason : errno != 0 ? strerror(errno) : "it has closed the connection");
	}
	take_blocked(redis);
	if (monotonic_ms() >= redis->deadline)
		return no_tls(redis, "it does not answer");
	redis_wait(redis, Min(until, redis->deadline));
	return ADMIN_SINK_PENDING;
}

/* ADMIN_SINK_OK: bytes can be read and written. */
AdminSinkResult
redis_connect(Redis *redis, int64 until)
{
	AdminSinkResult result = ADMIN_SINK_PENDING;

	do
	{
		switch (redis->phase)
		{
			case REDIS_LOOKING_UP:
				result = transport_look_up(redis, Min(until, redis->deadline));
				break;
			case REDIS_CONNECTING:
				result = redis_connecting(redis, until);
				break;
			case REDIS_SECURING:
				result = redis_securing(redis, until);
				break;
			default:
				return ADMIN_SINK_OK;
		}
	} while (result == ADMIN_SINK_PENDING && (redis->phase == REDIS_REACHED || monotonic_ms() < until));
	return result;
}

/* Says why the connection can no longer be used. */
static int
transport_lost(Redis *redis, int result)
{
	int			code = errno;
	unsigned long tls_code = ERR_peek_error();
	const char *reason = tls_code != 0 ? ERR_reason_error_string(tls_code) : NULL;

	if (reason != NULL && !redis->is_heard)
		(void) no_tls(redis, reason);
	else if (!redis->is_heard && !redis->config.is_tls)
		(void) redis_outage(redis, "Redis at %s has closed the connection before it answered; if it speaks TLS, write rediss:// in admin_ext.redis_url",
							redis->config.where);
	else if (reason != NULL || (result < 0 && code != 0))
		(void) redis_outage(redis, "the connection to Redis at %s is broken: %s", redis->config.where,
							reason ? reason : strerror(code));
	else
		(void) redis_outage(redis, "Redis at %s has closed the connection", redis->config.where);
	return -1;
}

static int
transport_done(Redis *redis, int result)
{
	if (result > 0)
		return result;
	if (!BIO_should_retry(redis->bio))
		return transport_lost(redis, result);
	take_blocked(redis);
	return 0;
}

int
redis_read(Redis *redis, char *data, int size)
{
	ERR_clear_error();
	errno = 0;
	return transport_done(redis, BIO_read(redis->bio, data, size));
}

int
redis_write(Redis *redis, const char *data, int length)
{
	ERR_clear_error();
	errno = 0;
	return transport_done(redis, BIO_write(redis->bio, data, length));
}

/* Clears redis->awaited when there is no need to wait any more. */
void
redis_wait(Redis *redis, int64 until)
{
	long		left = until - monotonic_ms();
	int			events;

	events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | redis->awaited,
							   redis->bio ? BIO_get_fd(redis->bio, NULL) : redis->socket, Max(left, 0),
							   PG_WAIT_EXTENSION);
	if (events & WL_LATCH_SET)
		ResetLatch(MyLatch);
	if (events & (WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE))
		redis->awaited = 0;
	CHECK_FOR_INTERRUPTS();
}

void
redis_disconnect(Redis *redis)
{
	/* The bio has the socket, and closes it. */
	if (redis->bio != NULL)
		redis->socket = -1;
	BIO_free_all(redis->bio);
	redis->bio = NULL;
	close_socket(redis);
	SSL_CTX_free(redis->tls);
	redis->tls = NULL;
	if (redis->addresses != NULL)
		freeaddrinfo(redis->addresses);
	redis->addresses = redis->address = NULL;
}
