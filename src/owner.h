/*
 * owner.h
 *	  SQL of our own, run as the owner of the extension's tables, as the server's own
 *	  foreign key triggers do: a caller needs no right on a table.
 *
 * Every name in such a query is qualified, operators too: search_path has no say.
 */
#ifndef ADMIN_EXT_OWNER_H
#define ADMIN_EXT_OWNER_H

#include "executor/spi.h"

typedef struct OwnerScope
{
	Oid			user;
	int			security;
} OwnerScope;

/*
 * Connects SPI and becomes the owner; leaving undoes both.  After an error the end of the
 * (sub)transaction does.
 */
extern void owner_enter(OwnerScope *scope, Oid owner);
extern void owner_leave(const OwnerScope *scope);

/* A plan that is made once per backend. */
extern SPIPlanPtr owner_plan(SPIPlanPtr *plan, const char *query, int nargs, Oid *types);

#endif							/* ADMIN_EXT_OWNER_H */
