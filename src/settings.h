/*
 * settings.h
 *	  The settings of admin_ext, as variables.
 */
#ifndef ADMIN_EXT_SETTINGS_H
#define ADMIN_EXT_SETTINGS_H

/* A logical dump is being loaded: guard and row-change trigger stand aside. */
extern bool admin_restoring;

extern void settings_init(void);

#endif							/* ADMIN_EXT_SETTINGS_H */
