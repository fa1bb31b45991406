/*
 * admin_ext.c
 *	  The module's entry point: calls the init function of each part.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "audit/audit_number.h"
#include "audit/insider.h"
#include "compat.h"
#include "delivery/delivery.h"
#include "delivery/sink_table.h"
#include "metrics/latency.h"
#include "relations.h"
#include "settings.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	settings_init();
	sink_settings_init();
	relations_init();
	insider_init();
	audit_number_init();
	check_latency_init();
	delivery_init();
	compat_reserve_prefix("admin_ext");
}
