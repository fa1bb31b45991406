/*
 * owner.h
 *	  SQL of our own, run as the owner of the extension's tables, as the server's own
 *	  foreign key triggers do: a caller needs no right on a table.
 *
 * Meanwhile search_path is pg_catalog.  So an object of the caller cannot replace one that a query
 * names, not even a type in pg_temp.
 */
#ifndef ADMIN_EXT_OWNER_H
#define ADMIN_EXT_OWNER_H

#include "executor/spi.h"

#define OWNER_QUERY_MAX_ARGS	12

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

/* A query whose plan is made once per backend: static, and owner_run()'s to change. */
typedef struct OwnerQuery
{
	const char *text;
	int			nargs;
	Oid			types[OWNER_QUERY_MAX_ARGS];
	int			result;			/* SPI_OK_... that it has to end with */
	bool		is_read_only;	/* sees what the caller's snapshot does, and nothing newer */
	SPIPlanPtr	plan;
} OwnerQuery;

/*
 * Runs it, to at most so many rows (0: all of them), and returns how many there were;
 * they are in SPI_tuptable.  `nulls` as in SPI_execute_plan().
 */
extern uint64 owner_run(OwnerQuery *query, Datum *values, const char *nulls, long limit);

/* Enters, runs a query without arguments, and leaves: does it find a row? */
extern bool owner_finds(OwnerQuery *query, Oid table);

#endif							/* ADMIN_EXT_OWNER_H */
