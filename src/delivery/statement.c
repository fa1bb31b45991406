/*
 * statement.c
 *	  See statement.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "compat.h"
#include "delivery/statement.h"
#include "layout.h"

void
statement_run(Statement *statement, Datum *values)
{
	SPI_connect();
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->sql, statement->count, statement->types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\"", statement->sql);
		statement->plan = plan;
	}

	/* Not read-only: that would use a snapshot taken before the wait for the table locks. */
	if (SPI_execute_plan(statement->plan, values, NULL, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", statement->sql);
}

int64
statement_int64(int column)
{
	bool		isnull;
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Oid			type = SPI_gettypeid(desc, column) == TIMESTAMPTZOID ? TIMESTAMPTZOID : INT8OID;
	Datum		value = layout_value(SPI_tuptable->vals[0], desc, column, type, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

const char *
statement_text(int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	return value ? value : "";
}

Datum
statement_bytea(const void *data, Size length)
{
	bytea	   *value = palloc(VARHDRSZ + length);

	SET_VARSIZE(value, VARHDRSZ + length);
	memcpy(VARDATA(value), data, length);
	return PointerGetDatum(value);
}
