/*
 * text_limits.h
 *	  How long texts may be, in bytes; the tables' constraints say the same.
 */
#ifndef ADMIN_EXT_TEXT_LIMITS_H
#define ADMIN_EXT_TEXT_LIMITS_H

#define ACTION_MAX_BYTES		256
#define RESOURCE_MAX_BYTES		2048
#define ROLE_MAX_BYTES			128
#define PERSON_MAX_BYTES		256
#define REASON_MAX_BYTES		4096	/* of a withdrawal, or a signer's comment */
#define REQUEST_ID_MAX_BYTES	256
#define TRACEPARENT_MAX_BYTES	256

/* Of a topic of Kafka's, as its brokers have it: org.apache.kafka.common.internals.Topic. */
#define TOPIC_MAX_BYTES			249
#define TOPIC_CHARACTERS		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

#define SHOWN_CHARACTERS		64	/* of a value that is refused */

#endif							/* ADMIN_EXT_TEXT_LIMITS_H */
