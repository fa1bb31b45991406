/*
 * monotonic.h
 *	  Time that no administrator sets back: for pauses and deadlines.
 */
#ifndef ADMIN_EXT_MONOTONIC_H
#define ADMIN_EXT_MONOTONIC_H

#include "postgres.h"

#include <time.h>

/* Time that the machine was suspended for counts. */
#ifdef CLOCK_BOOTTIME
#define ADMIN_CLOCK		CLOCK_BOOTTIME
#else
#define ADMIN_CLOCK		CLOCK_MONOTONIC
#endif

/* Microseconds since some time before the server was started. */
static inline int64
monotonic_us(void)
{
	struct timespec now;

	clock_gettime(ADMIN_CLOCK, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline int64
monotonic_ms(void)
{
	return monotonic_us() / 1000;
}

#endif							/* ADMIN_EXT_MONOTONIC_H */
