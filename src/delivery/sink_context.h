/*
 * sink_context.h
 *	  What a sink is given when it is opened, and what it may ask the worker.
 */
#ifndef ADMIN_EXT_SINK_CONTEXT_H
#define ADMIN_EXT_SINK_CONTEXT_H

#include "delivery/worker_types.h"

/* What the sink is given when it is opened. */
extern void worker_prepare_sink(Worker *worker);

#endif							/* ADMIN_EXT_SINK_CONTEXT_H */
