/*
 * settings_secret.h
 *	  Settings that hold secrets.
 */
#ifndef ADMIN_EXT_SETTINGS_SECRET_H
#define ADMIN_EXT_SETTINGS_SECRET_H

extern void settings_define_secrets(void);

/* The text of one of them; NULL: it is not a secret setting.  Valid until the next reload. */
extern const char *settings_secret(const char *name);

#endif							/* ADMIN_EXT_SETTINGS_SECRET_H */
