/*
 * launcher.h
 *	  Starts and ends workers as the settings ask for.
 */
#ifndef ADMIN_EXT_LAUNCHER_H
#define ADMIN_EXT_LAUNCHER_H

/* Registers the launcher with the postmaster. */
extern void launcher_register(void);

/* Entry points of the processes, looked up by name. */
extern PGDLLEXPORT void admin_delivery_launcher_main(Datum arg);

#endif							/* ADMIN_EXT_LAUNCHER_H */
