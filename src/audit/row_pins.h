/*
 * row_pins.h
 *	  Settings that say how values are written, the same for every session.
 */
#ifndef ADMIN_EXT_ROW_PINS_H
#define ADMIN_EXT_ROW_PINS_H

/*
 * For the output function of this type.  Returns the level that AtEOXact_GUC() undoes.  Money is
 * written as where lc_monetary is C: two digits behind the point.
 */
extern int	row_pin_settings(Oid type);

/* Schema and name of a relation, quoted where they have to be; in the current context. */
extern char *row_table_name(Oid schema, const char *name);

#endif							/* ADMIN_EXT_ROW_PINS_H */
