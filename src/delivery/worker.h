/*
 * worker.h
 *	  The process that delivers from one database to one sink.
 */
#ifndef ADMIN_EXT_WORKER_H
#define ADMIN_EXT_WORKER_H

/* For the postmaster: arg is the number of the worker's slot. */
extern PGDLLEXPORT void admin_delivery_worker_main(Datum arg);

#endif							/* ADMIN_EXT_WORKER_H */
