/*
 * rest.c
 *	  See rest.h.
 *
 * A working process may wait for a lock, so SIGTERM interrupts it wherever that is safe: the server
 * raises a FATAL error, and logs it.  A resting process has no work to interrupt, so it just exits.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"

#include "delivery/rest.h"

static volatile sig_atomic_t is_resting = false;

void
rest_end_at_sigterm(SIGNAL_ARGS)
{
	int			error = errno;

	if (is_resting)
	{
		ShutdownRequestPending = true;
		SetLatch(MyLatch);
	}
	else
		die(postgres_signal_arg);
	errno = error;
}

void
worker_rest(long milliseconds, int exit_code)
{
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (milliseconds >= 0 ? WL_TIMEOUT : 0);

	is_resting = true;
	(void) WaitLatch(MyLatch, events, milliseconds, PG_WAIT_EXTENSION);
	is_resting = false;
	if (ShutdownRequestPending)
		proc_exit(exit_code);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}
