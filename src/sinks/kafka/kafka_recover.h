/*
 * kafka_recover.h
 *	  Finds out where in the topic delivery stands.  The topic itself is the truth.
 */
#ifndef ADMIN_EXT_KAFKA_RECOVER_H
#define ADMIN_EXT_KAFKA_RECOVER_H

#include "sinks/kafka/kafka_types.h"

extern AdminSinkResult kafka_recover(AdminSink *sink, AdminSinkPosition *position);

#endif							/* ADMIN_EXT_KAFKA_RECOVER_H */
