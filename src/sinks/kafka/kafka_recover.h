/*
 * kafka_recover.h
 *	  The functions of kafka_recover.c that other files call.
 */
#ifndef ADMIN_EXT_KAFKA_RECOVER_H
#define ADMIN_EXT_KAFKA_RECOVER_H

#include "sinks/kafka/kafka_types.h"

extern AdminSinkResult kafka_recover(AdminSink *sink, AdminSinkPosition *position);

#endif							/* ADMIN_EXT_KAFKA_RECOVER_H */
