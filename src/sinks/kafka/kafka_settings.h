/*
 * kafka_settings.h
 *	  The settings of the Kafka sink.  They are a part of admin_ext, so that every session knows them;
 *	  the sink's library asks for them by name.
 */
#ifndef ADMIN_EXT_KAFKA_SETTINGS_H
#define ADMIN_EXT_KAFKA_SETTINGS_H

extern void kafka_settings_init(void);

#endif							/* ADMIN_EXT_KAFKA_SETTINGS_H */
