/*
 * delivery.h
 *	  The room's door for the module: what has to be in place before anybody commits.
 */
#ifndef ADMIN_EXT_DELIVERY_H
#define ADMIN_EXT_DELIVERY_H

/* Does nothing unless the library is being preloaded. */
extern void delivery_init(void);

#endif							/* ADMIN_EXT_DELIVERY_H */
