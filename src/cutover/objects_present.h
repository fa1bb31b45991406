/*
 * objects_present.h
 *	  What this database has of the extension, read from the catalogs.
 */
#ifndef ADMIN_EXT_OBJECTS_PRESENT_H
#define ADMIN_EXT_OBJECTS_PRESENT_H

#include "cutover/objects.h"

/*
 * All lines of this database, sorted by kind, name and facet.  Needs an SPI connection
 * and the settings of readiness_pin_settings(); reads the catalogs with AccessShareLock.
 */
extern ObjectLine *objects_present(int *count);

#endif							/* ADMIN_EXT_OBJECTS_PRESENT_H */
