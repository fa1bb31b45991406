/*
 * insider_setting.h
 *	  Settings that weaken what the trail promises, as sessions change them.
 */
#ifndef ADMIN_EXT_INSIDER_SETTING_H
#define ADMIN_EXT_INSIDER_SETTING_H

#include "postgres.h"

#include "utils/guc.h"

/* Hooks of the settings that insider_setting.c watches. */
extern bool insider_check_switch(bool *value, void **extra, GucSource source);
extern void insider_assign_restoring(bool value, void *extra);
extern void insider_assign_require_jwt(bool value, void *extra);
extern void insider_assign_require_policy(bool value, void *extra);

/* Is there something to record?  Collects what begins to be weak, or what ends; and the transaction has ended. */
extern bool insider_has_settings(void);
extern void insider_collect_settings(bool begins);
extern void insider_settings_end(bool is_commit);

#endif							/* ADMIN_EXT_INSIDER_SETTING_H */
