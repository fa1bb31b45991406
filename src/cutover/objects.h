/*
 * objects.h
 *	  The objects of both extensions as lines that can be compared: what the database has,
 *	  and what this version of the library ships.
 */
#ifndef ADMIN_EXT_OBJECTS_H
#define ADMIN_EXT_OBJECTS_H

#include "nodes/nodes.h"
#include "nodes/pg_list.h"

/* What a facet's value is made of. */
typedef enum ObjectValue
{
	VALUE_TEXT,					/* compared as it is */
	VALUE_EXPRESSION,			/* an expression over the columns of a relation */
	VALUE_VIEW,					/* the query of a view */
	VALUE_BODY,					/* a function's body that the server keeps parsed */
	VALUE_PROBLEM				/* not compared: the value says what is wrong */
} ObjectValue;

/* One facet of one object.  Texts live in the context that was current at the call. */
typedef struct ObjectLine
{
	const char *item;			/* of the readiness view: A1 to F4 */
	const char *kind;			/* "function" */
	const char *name;			/* "admin_internal.ttl_hash(text,text,timestamp with time zone)" */
	const char *facet;			/* "body" */
	const char *value;			/* NULL where a tree holds it */
	ObjectValue type;
	const char *tree;			/* nodeToString() of what the catalog holds */
	Oid			oid;			/* of the relation or the function that the tree belongs to */
} ObjectLine;

/* What a version ships.  Its values are texts; trees are compared after parsing them. */
typedef struct ShippedLine
{
	const char *item;
	const char *kind;
	const char *name;
	const char *facet;
	const char *value;
} ShippedLine;

#endif							/* ADMIN_EXT_OBJECTS_H */
