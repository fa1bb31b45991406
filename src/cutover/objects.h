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

/*
 * All lines of this database, sorted by kind, name and facet.  Needs an SPI connection
 * and the settings of readiness_pin_settings(); reads the catalogs with AccessShareLock.
 */
extern ObjectLine *objects_present(int *count);

/* The text of a line whose value is a tree: what the generated file holds.  NULL for queries up to 14. */
extern char *object_tree_text(const ObjectLine *line);

/*
 * Is the tree what the shipped text means on this server?  False too where the text
 * cannot be parsed, since something that it names is missing.
 */
extern bool object_tree_is(const ObjectLine *line, const char *shipped);

/* Differences between present and shipped lines; a list of ObjectLine with VALUE_PROBLEM. */
extern List *shipped_differences(void);

/* Opens a level of settings with everything pinned that changes what the catalog functions print. */
extern int	readiness_pin_settings(void);

#endif							/* ADMIN_EXT_OBJECTS_H */
