/*
 * worker_settings.h
 *	  The functions of worker_settings.c that other files call.
 */
#ifndef ADMIN_EXT_WORKER_SETTINGS_H
#define ADMIN_EXT_WORKER_SETTINGS_H

#include "delivery/worker_types.h"

extern void worker_pin_settings(void);

#endif							/* ADMIN_EXT_WORKER_SETTINGS_H */
