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

static SecretSetting *secrets = NULL;

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
	setting->value = "";
	DefineCustomStringVariable(setting->name, setting->meaning, setting->details, &setting->variable, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE, check, assign, show);
	setting->next = secrets;
	secrets = setting;
}

const char *
settings_secret(const char *name)
{
	for (const SecretSetting *setting = secrets; setting != NULL; setting = setting->next)
	{
		if (strcmp(name, setting->name) == 0)
			return setting->value;
	}
	return NULL;
}
