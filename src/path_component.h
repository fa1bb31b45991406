/*
 * path_component.h
 *	  The name of a database as one component of a path.
 */
#ifndef ADMIN_EXT_PATH_COMPONENT_H
#define ADMIN_EXT_PATH_COMPONENT_H

#define PATH_PLAIN_CHARACTERS	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

/* Every other byte becomes a percent sign and two hex digits.  What does not fit into size bytes is left out. */
extern void path_component(const char *name, char *out, Size size);

#endif							/* ADMIN_EXT_PATH_COMPONENT_H */
