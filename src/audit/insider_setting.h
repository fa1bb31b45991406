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

/* Is there something to record?  Collects what begins to be weak, or what ends; and the transaction has ended. */
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

/* Their names, as an array of text, and what the server's command line says for each. */
extern Datum insider_stored_names(void);
extern Datum insider_commanded_values(void);

/* For a worker, before it connects and pins settings: keeps what the command line says, which wins over the files until the server ends. */
extern void insider_keep_command_line(void);

/* Collects setting.changed, writes a line to the log, or both.  A value that is NULL is the default; `before` may be NULL: it is not known. */
extern void insider_note_stored(const char *name, const char *value, const char *before, const char *scope);
extern void insider_log_stored(const char *name, const char *value, const char *scope);
extern void insider_collect_stored(const char *name, const char *value, const char *before, const char *scope);

#endif							/* ADMIN_EXT_INSIDER_SETTING_H */
