/*
 * insider_own.h
 *	  Is it the extension's own code that runs?
 */
#ifndef ADMIN_EXT_INSIDER_OWN_H
#define ADMIN_EXT_INSIDER_OWN_H

#include "postgres.h"

/*
 * Does the extension's own code run, and not somebody else's that it has called?  A caller in C
 * brackets its queries, and puts back what insider_own_begin() has returned, after an error, too.
 */
extern bool insider_is_own(void);
extern bool insider_own_begin(void);
extern void insider_own_end(bool before);

/*
 * Is it certain that no function of the extension runs?  False without shared_preload_libraries: a
 * session loads the library in the middle of a call then.
 */
extern bool insider_is_by_hand(void);

/* The process runs nothing but the extension's code. */
extern void insider_own_worker(void);

/*
 * Is it admin_ext, or one that builds on it?  Its name tells, which no other extension can have without writing
 * to the server's files: CREATE EXTENSION reads a control file of that name, and no command renames an extension.
 */
extern bool insider_is_our_extension(Oid extension);

/* Does the extension's code run, or its script?  Another extension's script is a user's. */
extern bool insider_is_own_or_script(void);
extern bool insider_is_our_schema(Oid schema);
extern bool insider_is_our_schema_name(const char *name);

/* When the library is loaded, and at the end of a transaction. */
extern void insider_own_init(void);
extern void insider_own_reset(void);

#endif							/* ADMIN_EXT_INSIDER_OWN_H */
