/*
 * settings_place.c
 *	  Settings that say where a sink delivers, with a part for each database and store.
 *
 * In a path the name of a database is one component, whatever it is: a slash in it, or a dot in
 * front, is written as a percent sign and two digits.  Elsewhere it stands as it is.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "path_component.h"
#include "settings_place.h"

#define STORE_ID_BYTES	36

static const PlaceSetting *places = NULL;

void
settings_place_define(PlaceSetting *setting)
{
	DefineCustomStringVariable(setting->name, setting->meaning, setting->details, &setting->variable, setting->value,
							   PGC_SIGHUP, setting->flags, setting->check, NULL, NULL);
	setting->next = places;
	places = setting;
}

bool
settings_place_check(const char *pattern)
{
	for (const char *at = strchr(pattern, '%'); at != NULL; at = strchr(at + 2, '%'))
	{
		if (at[1] != '\0' && strchr("ds%", at[1]))
			continue;
		GUC_check_errdetail("After a percent sign comes d (the database), s (the store id) or another percent sign.");
		return false;
	}
	return true;
}

int
settings_place_most_bytes(const char *pattern, int database_bytes)
{
	int			bytes = strlen(pattern);

	for (const char *at = strchr(pattern, '%'); at != NULL && at[1] != '\0'; at = strchr(at + 2, '%'))
		bytes += at[1] == 'd' ? database_bytes - 2 : at[1] == 's' ? STORE_ID_BYTES - 2 : -1;
	return bytes;
}

/* One that begins with a dot would be hidden, or lead elsewhere. */
static void
append_component(StringInfo text, const char *database)
{
	char		component[PATH_DATABASE_BYTES + 4];

	path_component(database, component, sizeof(component));
	if (component[0] == '.')
		appendStringInfo(text, "%%2E%s", component + 1);
	else
		appendStringInfoString(text, component);
}

static const char *
expand_place(const char *pattern, const char *database, const char *store_id, bool is_path)
{
	StringInfoData text;

	initStringInfo(&text);
	for (const char *at = pattern; *at != '\0'; at++)
	{
		if (*at != '%')
			appendStringInfoChar(&text, *at);
		else if (*++at == 's')
			appendStringInfoString(&text, store_id);
		else if (*at == 'd' && is_path)
			append_component(&text, database);
		else if (*at == 'd')
			appendStringInfoString(&text, database);
		else
			appendStringInfoChar(&text, '%');
	}
	return text.data;
}

const char *
settings_place_expand(const char *name, const char *value, const char *database, const char *store_id)
{
	for (const PlaceSetting *place = places; place != NULL; place = place->next)
	{
		if (strcmp(name, place->name) == 0)
			return expand_place(value, database, store_id, place->is_path);
	}
	return value;
}
