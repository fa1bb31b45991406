/*
 * insider_preload.h
 *	  Libraries that the client of a session has chosen leave an event.
 */
#ifndef ADMIN_EXT_INSIDER_PRELOAD_H
#define ADMIN_EXT_INSIDER_PRELOAD_H

/* Is there an event to write?  The first call writes the log line. */
extern bool insider_has_preload(void);

/* Collects setting.changed. */
extern void insider_collect_preload(void);

/* The transaction has ended. */
extern void insider_preload_end(bool is_commit);

#endif							/* ADMIN_EXT_INSIDER_PRELOAD_H */
