/*
 * insider_preload.c
 *	  A session whose client chooses the libraries that it begins with.
 *
 * session_preload_libraries among the options of a connection does what LOAD does, and is no
 * command.  The transaction that a session begins with sees the setting before anything is loaded,
 * so no library can take the event back.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"

#include "audit/insider_setting.h"
#include "owner.h"
#include "relations.h"

/* At the end of a session's first transaction. */
bool
insider_has_preload(void)
{
	static bool has_looked = false;
	bool		is_first = !has_looked;

	has_looked = true;
	return is_first && MyBackendType == B_BACKEND && session_preload_libraries_string != NULL &&
		session_preload_libraries_string[0] != '\0';
}

/* Most have it from the configuration. */
void
insider_collect_preload(void)
{
	static OwnerQuery query = {
		.text = "select from pg_settings as s where s.name = 'session_preload_libraries' and s.source = 'client'",
		.result = SPI_OK_SELECT
	};

	if (owner_finds(&query, admin_relations()->audit))
		insider_collect_stored("session_preload_libraries", session_preload_libraries_string, NULL, "session");
}
