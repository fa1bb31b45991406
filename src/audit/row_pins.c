/*
 * row_pins.c
 *	  See row_pins.h.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "audit/row_pins.h"

typedef struct Pin
{
	const char *name;
	const char *value;
} Pin;

/* As the client tools pin them for transfer. */
static const Pin values_pinned[] = {
	{"datestyle", "ISO"}, {"intervalstyle", "iso_8601"}, {"timezone", "UTC"},
	{"extra_float_digits", "1"}, {"bytea_output", "hex"}
};

/* Names are qualified, except those of the server, which a temporary object does not hide. */
static const Pin names_pinned[] = {{"search_path", "pg_catalog, pg_temp"}, {"lc_monetary", "C"}};

static const Pin quotes_pinned = {"quote_all_identifiers", "off"};

static void
pin_settings(const Pin *pins, int count)
{
	for (int i = 0; i < count; i++)
		(void) set_config_option(pins[i].name, pins[i].value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* Base types of the server's own do not, but for these; what others are made of is not looked at. */
static bool
shows_names_or_money(Oid type)
{
	Oid			element = get_element_type(type);

	if (OidIsValid(element))
		type = element;
	switch (type)
	{
		case MONEYOID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGROLEOID:
			return true;
	}
	return type >= FirstGenbkiObjectId || get_typtype(type) != TYPTYPE_BASE;
}

int
row_pin_settings(Oid type)
{
	int			level = NewGUCNestLevel();

	pin_settings(values_pinned, lengthof(values_pinned));
	if (shows_names_or_money(type))
	{
		pin_settings(names_pinned, lengthof(names_pinned));
		pin_settings(&quotes_pinned, 1);
	}
	return level;
}

char *
row_table_name(Oid schema, const char *name)
{
	int			level = NewGUCNestLevel();
	char	   *qualified;

	if (quote_all_identifiers)
		pin_settings(&quotes_pinned, 1);
	qualified = quote_qualified_identifier(get_namespace_name(schema), name);
	AtEOXact_GUC(false, level);
	return qualified;
}
