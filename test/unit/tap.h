/*
 * tap.h
 *	  The little a C test needs to speak TAP: ok(), diag(), tap_done().
 *
 * The plan comes last, so that nobody has to count; a program that dies before
 * it has no plan, which test/unit/run turns into a failure.
 */
#ifndef ADMIN_EXT_TEST_TAP_H
#define ADMIN_EXT_TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define LENGTH_OF(array)	(sizeof(array) / sizeof((array)[0]))

static int	tap_asserted = 0;
static int	tap_failed = 0;

/* Says whether the named promise holds, and returns it. */
__attribute__((format(printf, 2, 3)))
static inline bool
ok(bool holds, const char *name, ...)
{
	va_list		args;

	tap_asserted++;
	if (!holds)
		tap_failed++;
	printf("%sok %d - ", holds ? "" : "not ", tap_asserted);
	va_start(args, name);
	vprintf(name, args);
	va_end(args);
	printf("\n");
	/* What was said before a crash must be seen after it. */
	fflush(stdout);
	return holds;
}

__attribute__((format(printf, 1, 2)))
static inline void
diag(const char *format, ...)
{
	va_list		args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* Prints the plan; what it returns is the program's exit status. */
static inline int
tap_done(void)
{
	printf("1..%d\n", tap_asserted);
	return tap_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif							/* ADMIN_EXT_TEST_TAP_H */
