/*
 * shipped.h
 *	  The functions of shipped.c that other files call.
 */
#ifndef ADMIN_EXT_SHIPPED_H
#define ADMIN_EXT_SHIPPED_H

#include "cutover/objects.h"

/* Differences between present and shipped lines; a list of ObjectLine with VALUE_PROBLEM. */
extern List *shipped_differences(void);

#endif							/* ADMIN_EXT_SHIPPED_H */
