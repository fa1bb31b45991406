/*
 * readiness_settings.h
 *	  The functions of readiness_settings.c that other files call.
 */
#ifndef ADMIN_EXT_READINESS_SETTINGS_H
#define ADMIN_EXT_READINESS_SETTINGS_H

#include "cutover/objects.h"

/* Opens a level of settings with everything pinned that changes what the catalog functions print. */
extern int	readiness_pin_settings(void);

#endif							/* ADMIN_EXT_READINESS_SETTINGS_H */
