/*
 * worker_lock.h
 *	  What a worker reports while another session's lock keeps it from the trail.
 */
#ifndef ADMIN_EXT_WORKER_LOCK_H
#define ADMIN_EXT_WORKER_LOCK_H

#include "delivery/worker_types.h"

/* To be called when lock_timeout has ended one of the worker's statements. */
extern void worker_lock_is_in_the_way(Worker *worker);
extern void worker_begin_look(Worker *worker);
extern void worker_has_looked(Worker *worker);
extern void worker_show_unseen(Worker *worker);

#endif							/* ADMIN_EXT_WORKER_LOCK_H */
