/*
 * delivery.c
 *	  Sets up delivery when the server starts.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "delivery/at_commit.h"
#include "delivery/database_ddl.h"
#include "delivery/delivery.h"
#include "delivery/launcher.h"
#include "delivery/shared.h"

void
delivery_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	delivery_shared_init();
	at_commit_init();
	database_ddl_init();
	launcher_register();
}
