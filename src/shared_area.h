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

/* Places in shared memory, one for each database, which are taken and never given back. */
typedef struct SharedPlaces
{
	int			count;

	/* For which database the place was taken. */
	Oid			(*database_of) (int place);

	/* The place of this owner; -1: it has none. */
	int			(*find) (uint64 owner);

	/* Forgets what the place holds, and takes it for this owner. */
	void		(*take) (int place, uint64 owner);
} SharedPlaces;

/*
 * Where all places are taken: takes one whose database has been dropped.  Returns the place, or -1:
 * all their databases are there.  What an owner is, this database or more, the callbacks know.  Within a transaction.
 */
extern int	shared_area_take_left(const SharedPlaces *places, uint64 owner);

#endif							/* ADMIN_EXT_SHARED_AREA_H */
