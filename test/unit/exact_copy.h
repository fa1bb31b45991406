/*
 * exact_copy.h
 *	  Bytes in a buffer that ends where they end: under the address sanitizer,
 *	  reading one byte more is an error.
 */
#ifndef ADMIN_EXT_TEST_EXACT_COPY_H
#define ADMIN_EXT_TEST_EXACT_COPY_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The caller frees it. */
static inline char *
exact_copy(const char *data, size_t length)
{
	char	   *copy = malloc(length);

	if (copy == NULL && length > 0)
		abort();
	if (length > 0)
		memcpy(copy, data, length);
	return copy;
}

#endif							/* ADMIN_EXT_TEST_EXACT_COPY_H */
