/*
 * statement.h
 *	  Statements of the worker's, each prepared once for the life of the process.
 */
#ifndef ADMIN_EXT_STATEMENT_H
#define ADMIN_EXT_STATEMENT_H

#include "executor/spi.h"

#define STATEMENT_PARAMETERS	16

typedef struct Statement
{
	const char *sql;
	int			count;
	Oid			types[STATEMENT_PARAMETERS];
	SPIPlanPtr	plan;
} Statement;

/* Connects to SPI and runs it; the caller reads the result, and calls SPI_finish(). */
extern void statement_run(Statement *statement, Datum *values);

/* A column of the first row: null is 0, or the empty text.  A timestamptz is an int64. */
extern int64 statement_int64(int column);
extern const char *statement_text(int column);

/* A value of type bytea. */
extern Datum statement_bytea(const void *data, Size length);

#endif							/* ADMIN_EXT_STATEMENT_H */
