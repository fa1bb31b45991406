/*
 * sink_context.h
 *	  The functions of sink_context.c that other files call.
 */
#ifndef ADMIN_EXT_SINK_CONTEXT_H
#define ADMIN_EXT_SINK_CONTEXT_H

#include "delivery/worker_types.h"

/* What the sink is given when it is opened. */
extern void worker_prepare_sink(Worker *worker);

#endif							/* ADMIN_EXT_SINK_CONTEXT_H */
