/*
 * settings.c
 *	  Defines the settings.  Called once, when the library is loaded.
 */
#include "postgres.h"

#include "utils/guc.h"

#include "settings.h"

bool		admin_restoring = false;

void
settings_init(void)
{
	DefineCustomBoolVariable("admin_ext.restoring",
							 "While a logical dump is loaded: guard and row-change trigger stand aside.",
							 "Rows are taken as they were dumped; the audit trail stays append-only.",
							 &admin_restoring,
							 false,
							 PGC_SUSET,
							 0,
							 NULL, NULL, NULL);
}
