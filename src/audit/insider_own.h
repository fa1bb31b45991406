/*
 * insider_own.h
 *	  Is the extension's own code running?
 */
#ifndef ADMIN_EXT_INSIDER_OWN_H
#define ADMIN_EXT_INSIDER_OWN_H

#include "postgres.h"

/*
 * Is the extension's own code running, and not user code that it has called?  C code brackets its
 * queries with insider_own_begin() and insider_own_end(), also when an error occurs.  The second
 * function takes what the first one has returned.
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
 * Is it admin_ext, or an extension that builds on it?  The name tells.  Another extension cannot
 * have such a name unless a user writes to the server's files: CREATE EXTENSION reads a control
 * file of that name, and no command renames an extension.
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
