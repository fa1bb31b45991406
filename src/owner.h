/*
 * owner.h
 *	  SQL of our own, run as the owner of the extension's tables, as the server's own
 *	  foreign key triggers do: a caller needs no right on a table.
 *
 * search_path is pg_catalog for as long, so that nothing a caller has made, a type in
 * pg_temp least of all, takes the place of what a query names.
 */
#ifndef ADMIN_EXT_OWNER_H
#define ADMIN_EXT_OWNER_H

#include "executor/spi.h"

typedef struct OwnerScope
{
	Oid			user;
	int			security;
	int			settings;		/* nesting level of settings */
} OwnerScope;

/*
 * Connects SPI and becomes the owner of a table; leaving undoes both.  After an error the
 * end of the (sub)transaction does.
 */
extern void owner_enter(OwnerScope *scope, Oid table);
extern void owner_leave(const OwnerScope *scope);

/* A plan that is made once per backend. */
extern SPIPlanPtr owner_plan(SPIPlanPtr *plan, const char *query, int nargs, Oid *types);

#endif							/* ADMIN_EXT_OWNER_H */
