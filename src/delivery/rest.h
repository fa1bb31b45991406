/*
 * rest.h
 *	  How launcher and workers wait for their latch, and end when they are told to.
 */
#ifndef ADMIN_EXT_REST_H
#define ADMIN_EXT_REST_H

/* The handler of SIGTERM: a process that rests ends with worker_rest()'s exit code, without a word in the log. */
extern void rest_end_at_sigterm(SIGNAL_ARGS);

/* Waits for the latch, for so many milliseconds at most (-1: for as long as it takes), and resets it. */
extern void worker_rest(long milliseconds, int exit_code);

#endif							/* ADMIN_EXT_REST_H */
