/*
 * redis_settings.c
 *	  Defines the settings of the Redis sink, and refuses wrong values.
 */
#include "postgres.h"

#include <limits.h>

#include "settings_place.h"
#include "settings_secret.h"
#include "sinks/redis/redis_settings.h"

#define NAME_BYTES	512

static bool
is_redis_url(const char *value)
{
	static const char *const schemes[] = {"redis://", "rediss://", "unix://"};

	for (int i = 0; i < lengthof(schemes); i++)
	{
		if (pg_strncasecmp(value, schemes[i], strlen(schemes[i])) == 0)
			return true;
	}
	GUC_check_errdetail("It begins with redis://, rediss:// or unix://.");
	return value[0] == '\0';
}

static SecretSetting redis_url = {
	.name = "admin_ext.redis_url",
	.meaning = "Where the Redis sink finds Redis.",
	.details = "redis://, rediss:// or unix://, with user and password where it asks for them.",
	.is_good = is_redis_url
};

SECRET_HOOKS(redis_url)

static bool
redis_check_name(const char *value, int least)
{
	int			length = strlen(value);

	if (!settings_place_check(value))
		return false;
	if (length >= least && length <= NAME_BYTES)
		return true;
	GUC_check_errdetail("A name of %d to %d bytes is needed.", least, NAME_BYTES);
	return false;
}

static bool
redis_check_channel(char **value, void **extra, GucSource source)
{
	return redis_check_name(*value, 1);
}

static bool
redis_check_stream(char **value, void **extra, GucSource source)
{
	return redis_check_name(*value, 0);
}

void
redis_settings_init(void)
{
	static int	stream_length;
	static PlaceSetting channel = {
		.name = "admin_ext.redis_channel",
		.meaning = "Channel that the Redis sink publishes to.",
		.details = "%d stands for the database, %s for the store id.",
		.value = "approval_ttl_refresh",
		.flags = GUC_SUPERUSER_ONLY,
		.check = redis_check_channel
	};
	static PlaceSetting stream = {
		.name = "admin_ext.redis_stream",
		.meaning = "Stream that the Redis sink adds its messages to.",
		.details = "Empty: none. %d stands for the database, %s for the store id.",
		.value = "",
		.flags = GUC_SUPERUSER_ONLY,
		.check = redis_check_stream
	};

	settings_place_define(&channel);
	settings_place_define(&stream);
	DefineCustomIntVariable("admin_ext.redis_stream_length", "About how many messages the stream keeps.",
							NULL, &stream_length, 100000, 1, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	SECRET_DEFINE(redis_url);
}
