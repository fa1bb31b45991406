/*
 * settings_secret.c
 *	  See settings_secret.h.
 *
 * A reload logs the text of a setting whose variable has changed.  So the variable of a setting
 * that holds a secret is always empty.  The value is kept aside, and shown to superusers.  A
 * refused value is not shown either, although the server's usual message would show it.
 */
#include "postgres.h"

#include "compat.h"
#include "settings_secret.h"

#define MOST_SECRETS	16

static SecretSetting *secrets[MOST_SECRETS];
static int	secret_count = 0;

bool
settings_secret_check(const SecretSetting *setting, char **value, void **extra)
{
	char	   *kept;
	char	   *empty;

	if (*value == NULL)
		return true;
	if (setting->is_good != NULL && !setting->is_good(*value))
	{
		GUC_check_errmsg("invalid value for parameter \"%s\"", setting->name);
		return false;
	}
	kept = compat_guc_strdup(*value);
	empty = compat_guc_strdup("");
	if (kept == NULL || empty == NULL)
		return false;
	compat_guc_free(*value);
	*value = empty;
	*extra = kept;
	return true;
}

void
settings_secret_define(SecretSetting *setting, GucStringCheckHook check, GucStringAssignHook assign, GucShowHook show)
{
	if (secret_count == MOST_SECRETS)
		elog(ERROR, "no room for setting \"%s\"", setting->name);
	secrets[secret_count++] = setting;
	setting->value = "";
	DefineCustomStringVariable(setting->name, setting->meaning, setting->details, &setting->variable, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE, check, assign, show);
}

const char *
settings_secret(const char *name)
{
	for (int i = 0; i < secret_count; i++)
	{
		if (strcmp(name, secrets[i]->name) == 0)
			return secrets[i]->value;
	}
	return NULL;
}
