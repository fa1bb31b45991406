/*
 * settings_place.h
 *	  Settings that say where a sink delivers, with a part for each database and store.
 */
#ifndef ADMIN_EXT_SETTINGS_PLACE_H
#define ADMIN_EXT_SETTINGS_PLACE_H

#include "utils/guc.h"

/* Static: its address is kept. */
typedef struct PlaceSetting
{
	const char *name;
	const char *meaning;
	const char *details;
	const char *value;			/* the default */
	int			flags;			/* of DefineCustomStringVariable() */
	bool		is_path;
	GucStringCheckHook check;	/* calls settings_place_check() first */
	char	   *variable;		/* to be read by settings_place_expand() */
	const struct PlaceSetting *next;	/* of those that are defined */
} PlaceSetting;

/* For _PG_init. */
extern void settings_place_define(PlaceSetting *setting);

/*
 * %d stands for the name of the database, %s for the store id, %% for a percent sign.
 * False for any other sequence, with GUC_check_errdetail().
 */
extern bool settings_place_check(const char *pattern);

/* The most bytes that a checked one can become, with so many for a database. */
extern int	settings_place_most_bytes(const char *pattern, int database_bytes);

/* The most that the name of a database becomes in a path. */
#define PATH_DATABASE_BYTES	(3 * (NAMEDATALEN - 1))

/*
 * What the value of a setting is for this database and store: expanded, in the current context,
 * where the setting says where a sink delivers; else the value itself.
 */
extern const char *settings_place_expand(const char *name, const char *value, const char *database, const char *store_id);

#endif							/* ADMIN_EXT_SETTINGS_PLACE_H */
