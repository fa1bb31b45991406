/*
 * settings_secret.h
 *	  Settings that hold secrets: they never get into the log.
 */
#ifndef ADMIN_EXT_SETTINGS_SECRET_H
#define ADMIN_EXT_SETTINGS_SECRET_H

#include "utils/guc.h"

/* Static: its address is kept.  The first four are given, the others begin as zero. */
typedef struct SecretSetting
{
	const char *name;
	const char *meaning;
	const char *details;
	bool		(*is_good) (const char *value); /* NULL: any is.  Says why it is not. */
	char	   *variable;		/* empty */
	const char *value;
	struct SecretSetting *next; /* of those that are defined */
} SecretSetting;

/* The server tells a hook no name, so each setting has hooks of its own. */
#define SECRET_HOOKS(setting) \
static bool \
setting##_check(char **value, void **extra, GucSource source) \
{ \
	return settings_secret_check(&setting, value, extra); \
} \
static void \
setting##_assign(const char *value, void *extra) \
{ \
	setting.value = extra; \
} \
static const char * \
setting##_show(void) \
{ \
	return setting.value; \
}

/* For _PG_init. */
#define SECRET_DEFINE(setting) settings_secret_define(&setting, setting##_check, setting##_assign, setting##_show)

extern bool settings_secret_check(const SecretSetting *setting, char **value, void **extra);
extern void settings_secret_define(SecretSetting *setting, GucStringCheckHook check, GucStringAssignHook assign, GucShowHook show);

/* The text of one of them; NULL: it is not a secret setting.  Valid until the next reload. */
extern const char *settings_secret(const char *name);

#endif							/* ADMIN_EXT_SETTINGS_SECRET_H */
