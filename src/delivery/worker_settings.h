/*
 * worker_settings.h
 *	  Pins settings that must not affect delivery, even if a database or a role sets them.
 */
#ifndef ADMIN_EXT_WORKER_SETTINGS_H
#define ADMIN_EXT_WORKER_SETTINGS_H

extern void worker_pin_settings(void);

#endif							/* ADMIN_EXT_WORKER_SETTINGS_H */
