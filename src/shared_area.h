/*
 * shared_area.h
 *	  Shared memory of the extension, reserved and attached while the server starts.
 */
#ifndef ADMIN_EXT_SHARED_AREA_H
#define ADMIN_EXT_SHARED_AREA_H

/* Static: its address is kept. */
typedef struct SharedArea
{
	const char *name;			/* unique in the server; also of the tranche of its locks */
	Size		bytes;
	int			locks;			/* LWLocks, which GetNamedLWLockTranche(name) finds; 0: none */

	/* Keeps the address, and initialises what is not found initialised. */
	void		(*attach) (void *memory, bool found);
} SharedArea;

/*
 * For _PG_init.  Does nothing in a session that loads the library by itself: attach() is never
 * called there.  Raises an error for more areas than the module has room for.
 */
extern void shared_area_add(const SharedArea *area);

/*
 * Has the database been dropped that a place in shared memory was taken for?  Another one may have
 * the place then.  Within a transaction.
 */
extern bool shared_area_is_left(Oid database);

#endif							/* ADMIN_EXT_SHARED_AREA_H */
