/*
 * insider_setting.h
 *	  Settings that weaken what the trail promises, as sessions change them.
 */
#ifndef ADMIN_EXT_INSIDER_SETTING_H
#define ADMIN_EXT_INSIDER_SETTING_H

#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"

/* Hooks of the settings that insider_setting.c watches. */
extern bool insider_check_switch(bool *value, void **extra, GucSource source);
extern void insider_assign_restoring(bool value, void *extra);
extern void insider_assign_require_jwt(bool value, void *extra);
extern void insider_assign_require_policy(bool value, void *extra);

/*
 * The first returns whether there is a change to record.  The second collects the settings that
 * become weak, or those that no longer are.  The third is for the end of the transaction.
 */
extern bool insider_has_settings(void);
extern void insider_collect_settings(bool begins);
extern void insider_settings_end(XactEvent event);

/* Which change of a stored setting weakens what the trail promises. */
typedef enum Weakening
{
	WEAK_ON,
	WEAK_OFF,
	WEAK_LOWER,					/* an interval */
	WEAK_CHANGED
} Weakening;

typedef struct StoredSetting
{
	const char *name;
	Weakening	weakening;
} StoredSetting;

/* NULL: a change of this setting weakens nothing.  Names are compared without regard to case. */
extern const StoredSetting *insider_stored_setting(const char *name);

/* The names of these settings, and their values on the server's command line, as arrays of text. */
extern Datum insider_stored_names(void);
extern Datum insider_commanded_values(void);

/*
 * A worker calls this before it connects and pins settings.  Keeps the values of the server's
 * command line, which override the configuration files until the server ends.
 */
extern void insider_keep_command_line(void);

/*
 * insider_note_stored() collects setting.changed, insider_log_stored() writes a line to the log,
 * and insider_collect_stored() does both.  A NULL value is the default.  `before` is NULL if it is
 * not known.
 */
extern void insider_note_stored(const char *name, const char *value, const char *before, const char *scope);
extern void insider_log_stored(const char *name, const char *value, const char *scope);
extern void insider_collect_stored(const char *name, const char *value, const char *before, const char *scope);

#endif							/* ADMIN_EXT_INSIDER_SETTING_H */
