/*
 * attempt.h
 *	  Runs a part that may fail, and goes on.
 */
#ifndef ADMIN_EXT_ATTEMPT_H
#define ADMIN_EXT_ATTEMPT_H

/*
 * Calls part(argument) in a subtransaction.  Returns NULL, or the message of its error, in the
 * current memory context.  A query that is cancelled is raised again.
 */
extern char *cutover_attempt(void (*part) (void *), void *argument);

#endif							/* ADMIN_EXT_ATTEMPT_H */
