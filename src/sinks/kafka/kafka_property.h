/*
 * kafka_property.h
 *	  Which of librdkafka's properties admin_ext.kafka_options does not take.
 */
#ifndef ADMIN_EXT_KAFKA_PROPERTY_H
#define ADMIN_EXT_KAFKA_PROPERTY_H

#include <stddef.h>

/*
 * Why a property, or this value of it, is refused, as what follows "property "...""; NULL: it is
 * taken.  Neither text has to end in a null byte.  No answer shows the value.
 */
extern const char *kafka_property_problem(const char *name, size_t name_length,
										  const char *value, size_t value_length);

#endif							/* ADMIN_EXT_KAFKA_PROPERTY_H */
