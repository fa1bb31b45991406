/*
 * redis_url.c
 *	  Takes admin_ext.redis_url apart, and reads the other settings.
 *
 * The names of the query's options are redis-py's.  No error shows a piece of the URL that
 * may belong to a password: where one was not escaped, it may end up anywhere.
 */
#include "postgres.h"

#include <curl/curl.h>

#include "utils/memutils.h"

#include "sinks/redis/redis_errors.h"
#include "sinks/redis/redis_types.h"
#include "sinks/redis/redis_url.h"

#define DEFAULT_PORT		"6379"
#define MOST_DATABASE		999999

/*
 * Decodes a part of the URL, in the sink's context; NULL: the URL does not have it.  False: it
 * cannot be decoded to text.
 */
static bool
get_part(Redis *redis, CURLU *url, CURLUPart part, unsigned int flags, char **value)
{
	char	   *found;
	CURLUcode	code = curl_url_get(url, part, &found, flags);

	*value = NULL;
	if (code == CURLUE_OK)
	{
		*value = MemoryContextStrdup(redis->sink->context, found);
		curl_free(found);
	}
	return code != CURLUE_URLDECODE;
}

static AdminSinkResult
url_malformed(Redis *redis)
{
	return redis_stop(redis, "admin_ext.redis_url is not of the form redis://[[user]:password@]host[:port][/db], rediss:// likewise, or unix://[[user]:password@]/path[?db=n], with what is special in user and password percent-encoded");
}

/* Then any part may belong to the password, so no part is shown. */
static AdminSinkResult
not_encoded(Redis *redis)
{
	return redis_stop(redis, "admin_ext.redis_url: what is special in user or password, as @ : / ? # are, has to be percent-encoded");
}

static bool
read_number(const char *text, int most, int *number)
{
	Size		length = strlen(text);

	if (length == 0 || length > 6 || strspn(text, "0123456789") != length)
		return false;
	*number = atoi(text);
	return *number <= most;
}

static AdminSinkResult
take_database(Redis *redis, const char *text)
{
	if (read_number(text, MOST_DATABASE, &redis->config.database))
		return ADMIN_SINK_OK;
	return redis_stop(redis, "admin_ext.redis_url: the database is not a number");
}

static char *
unescape_part(Redis *redis, const char *text)
{
	int			length;
	char	   *plain = curl_easy_unescape(NULL, text, 0, &length);
	char	   *kept;

	if (plain == NULL)
		elog(ERROR, "out of memory");
	kept = MemoryContextStrdup(redis->sink->context, plain);
	curl_free(plain);
	return kept;
}

static AdminSinkResult
take_option(Redis *redis, const char *name, const char *value)
{
	RedisConfig *config = &redis->config;
	char	  **file = NULL;

	if (strcmp(name, "db") == 0)
		return take_database(redis, value);
	if (strcmp(name, "ssl_ca_certs") == 0)
		file = &config->ca_file;
	else if (strcmp(name, "ssl_certfile") == 0)
		file = &config->certificate_file;
	else if (strcmp(name, "ssl_keyfile") == 0)
		file = &config->key_file;
	if (file == NULL)
		return redis_stop(redis, "admin_ext.redis_url: option \"%.32s\" is none of db, ssl_ca_certs, ssl_certfile and ssl_keyfile",
						  strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name) ? name : "...");
	if (!config->is_tls)
		return redis_stop(redis, "admin_ext.redis_url: option \"%s\" is for rediss:// alone", name);
	*file = unescape_part(redis, value);
	if ((*file)[0] == '\0')
		return redis_stop(redis, "admin_ext.redis_url: option \"%s\" names no file", name);
	return ADMIN_SINK_OK;
}

static AdminSinkResult
take_options(Redis *redis, char *query)
{
	AdminSinkResult result = ADMIN_SINK_OK;
	char	   *option;

	while (result == ADMIN_SINK_OK && (option = strsep(&query, "&")) != NULL)
	{
		char	   *value = strchr(option, '=');

		if (option[0] == '\0')
			continue;
		if (value != NULL)
			*value++ = '\0';
		result = take_option(redis, option, value ? value : "");
	}
	if (result == ADMIN_SINK_OK && redis->config.key_file != NULL && redis->config.certificate_file == NULL)
		return redis_stop(redis, "admin_ext.redis_url: option \"ssl_keyfile\" needs ssl_certfile");
	/* Both may be in one file. */
	if (redis->config.key_file == NULL)
		redis->config.key_file = redis->config.certificate_file;
	return result;
}

/* An empty user means no user, as in :password@. */
static AdminSinkResult
take_login(Redis *redis, CURLU *url)
{
	RedisConfig *config = &redis->config;

	if (!get_part(redis, url, CURLUPART_USER, CURLU_URLDECODE, &config->user) ||
		!get_part(redis, url, CURLUPART_PASSWORD, CURLU_URLDECODE, &config->password))
		return url_malformed(redis);
	if (config->user != NULL && config->user[0] == '\0')
		config->user = NULL;
	if (config->password != NULL && config->password[0] == '\0')
		config->password = NULL;
	if (config->user != NULL && config->password == NULL)
		return redis_stop(redis, "admin_ext.redis_url has a user without a password; a password alone is written :password@");
	return ADMIN_SINK_OK;
}

static void
name_server(Redis *redis, const char *name)
{
	redis->config.where = MemoryContextStrdup(redis->sink->context, redis_shown(name, REDIS_SHOWN_BYTES));
}

static AdminSinkResult
take_server(Redis *redis, CURLU *url, bool is_unix)
{
	RedisConfig *config = &redis->config;
	char	   *path;
	char	   *host;
	int			port;

	if (!get_part(redis, url, CURLUPART_PATH, CURLU_URLDECODE, &path) || path == NULL ||
		!get_part(redis, url, CURLUPART_HOST, CURLU_URLDECODE, &host) || host == NULL || host[0] == '\0')
		return url_malformed(redis);
	if (strchr(path, '@') != NULL)
		return not_encoded(redis);
	if (is_unix)
	{
		config->socket_path = path;
		name_server(redis, path);
		return path[1] == '\0' ? url_malformed(redis) : ADMIN_SINK_OK;
	}
	(void) get_part(redis, url, CURLUPART_PORT, 0, &config->port);
	if (config->port == NULL)
		config->port = DEFAULT_PORT;
	if (!read_number(config->port, 65535, &port) || port == 0)
		return url_malformed(redis);
	name_server(redis, psprintf("%s:%s", host, config->port));
	if (host[0] == '[')
	{
		host[strlen(host) - 1] = '\0';
		host++;
	}
	config->host = host;
	return strcmp(path, "/") == 0 ? ADMIN_SINK_OK : take_database(redis, path + 1);
}

static AdminSinkResult
take_parts(Redis *redis, CURLU *url, bool is_unix)
{
	char	   *query;
	char	   *fragment;
	AdminSinkResult result = take_server(redis, url, is_unix);

	(void) get_part(redis, url, CURLUPART_QUERY, 0, &query);
	(void) get_part(redis, url, CURLUPART_FRAGMENT, 0, &fragment);
	if (result == ADMIN_SINK_OK && ((query != NULL && strchr(query, '@') != NULL) || fragment != NULL))
		return not_encoded(redis);
	if (result == ADMIN_SINK_OK)
		result = take_login(redis, url);
	if (result == ADMIN_SINK_OK && query != NULL)
		result = take_options(redis, query);
	return result;
}

/*
 * libcurl requires a host, and takes what follows extra slashes for one.  So a URL without an
 * authority is refused first, and the URL of a unix socket is given a host.
 */
static AdminSinkResult
parse_url(Redis *redis, const char *text, CURLU *url)
{
	bool		is_unix = pg_strncasecmp(text, "unix://", 7) == 0;
	const char *authority = strstr(text, "://");
	int			length;

	if (authority == NULL)
		return url_malformed(redis);
	authority += 3;
	length = strcspn(authority, "/?#");
	if (is_unix ? (authority[length] != '/' || (length > 0 && authority[length - 1] != '@')) : length == 0)
		return url_malformed(redis);
	if (is_unix)
		text = psprintf("redis://%.*slocalhost%s", length, authority, authority + length);
	redis->config.is_tls = pg_strncasecmp(text, "rediss://", 9) == 0;
	if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS) != CURLUE_OK)
		return url_malformed(redis);
	return take_parts(redis, url, is_unix);
}

static void
redis_say_place(Redis *redis)
{
	StringInfoData place;

	initStringInfo(&place);
	appendStringInfo(&place, "channel \"%s\"", redis->channel);
	strlcpy(redis->sink->place, place.data, sizeof(redis->sink->place));
	pfree(place.data);
}

AdminSinkResult
redis_configure(Redis *redis)
{
	AdminSink  *sink = redis->sink;
	const char *text = sink->setting("admin_ext.redis_url");
	CURLU	   *url;
	AdminSinkResult result;

	if (text[0] == '\0')
		return redis_stop(redis, "no Redis is configured; set admin_ext.redis_url");
	redis->channel = MemoryContextStrdup(sink->context, sink->setting("admin_ext.redis_channel"));
	redis_say_place(redis);
	redis->stream = MemoryContextStrdup(sink->context, sink->setting("admin_ext.redis_stream"));
	redis->stream_length = MemoryContextStrdup(sink->context, sink->setting("admin_ext.redis_stream_length"));
	url = curl_url();
	if (url == NULL)
		elog(ERROR, "out of memory");
	result = parse_url(redis, text, url);
	curl_url_cleanup(url);
	return result;
}
