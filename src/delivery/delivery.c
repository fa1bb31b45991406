/*
 * delivery.c
 *	  Puts delivery in place when the server starts.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "delivery/database_ddl.h"
#include "delivery/delivery.h"
#include "delivery/launcher.h"
#include "delivery/shared.h"
#include "delivery/wakeup.h"

void
delivery_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	delivery_shared_init();
	wakeup_init();
	database_ddl_init();
	launcher_register();
}
