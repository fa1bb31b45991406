/*
 * object_tree.h
 *	  Views, expressions and parsed function bodies, compared by meaning.
 */
#ifndef ADMIN_EXT_OBJECT_TREE_H
#define ADMIN_EXT_OBJECT_TREE_H

#include "cutover/objects.h"

/* The text of a line whose value is a tree: what the generated file holds.  NULL for queries up to 14. */
extern char *object_tree_text(const ObjectLine *line);

/*
 * Is the tree what the shipped text means on this server?  False too where the text
 * cannot be parsed, since something that it names is missing.
 */
extern bool object_tree_is(const ObjectLine *line, const char *shipped);

#endif							/* ADMIN_EXT_OBJECT_TREE_H */
