/*
 * readiness_settings.h
 *	  Settings that a session, a role or a database may set, and that must not influence what
 *	  readiness finds.
 */
#ifndef ADMIN_EXT_READINESS_SETTINGS_H
#define ADMIN_EXT_READINESS_SETTINGS_H

/* Opens a level of settings with everything pinned that changes what the catalog functions print. */
extern int	readiness_pin_settings(void);

#endif							/* ADMIN_EXT_READINESS_SETTINGS_H */
