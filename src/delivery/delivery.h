/*
 * delivery.h
 *	  The entry point of delivery for the module: what must be set up before any transaction
 *	  commits.
 */
#ifndef ADMIN_EXT_DELIVERY_H
#define ADMIN_EXT_DELIVERY_H

/* Does nothing unless the library is being preloaded. */
extern void delivery_init(void);

#endif							/* ADMIN_EXT_DELIVERY_H */
