/*
 * redis_settings.h
 *	  The settings of the Redis sink.  They are a part of admin_ext, so that every session knows them;
 *	  the sink's library asks for them by name.
 */
#ifndef ADMIN_EXT_REDIS_SETTINGS_H
#define ADMIN_EXT_REDIS_SETTINGS_H

extern void redis_settings_init(void);

#endif							/* ADMIN_EXT_REDIS_SETTINGS_H */
