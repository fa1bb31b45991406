/*
 * insider_server.c
 *	  Which objects of the server the extension's functions run on.
 *
 * The functions look names up in pg_catalog.  An operator there that fits the arguments better, a
 * cast between types of the server, or another handler of a language can change what they answer,
 * and touches no object of the extension.  An event trigger runs in every command that makes a
 * month.  An application keeps its operators in a schema of its own, and its casts have a type of
 * its own: those are left out.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_event_trigger.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "utils/lsyscache.h"

#include "audit/insider.h"
#include "catalog_row.h"

/* What belongs to a family of operators, or stands on a table, and has no schema of its own. */
static const struct
{
	CatalogColumn member;
	Oid			class;			/* of what it belongs to */
}			members[] = {
	{{AccessMethodOperatorRelationId, AccessMethodOperatorOidIndexId, Anum_pg_amop_oid, Anum_pg_amop_amopfamily}, OperatorFamilyRelationId},
	{{AccessMethodProcedureRelationId, AccessMethodProcedureOidIndexId, Anum_pg_amproc_oid, Anum_pg_amproc_amprocfamily}, OperatorFamilyRelationId},
	{{TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, Anum_pg_trigger_tgrelid}, RelationRelationId},
	{{RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_class}, RelationRelationId},
	{{PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, Anum_pg_policy_polrelid}, RelationRelationId},
};

bool
insider_is_in_catalog(Oid class, Oid object)
{
	if (class == NamespaceRelationId)
		return object == PG_CATALOG_NAMESPACE;
	for (int i = 0; i < lengthof(members); i++)
	{
		if (members[i].member.catalog != class)
			continue;
		object = catalog_row_oid(&members[i].member, object);
		return OidIsValid(object) && insider_schema_of(members[i].class, object) == PG_CATALOG_NAMESPACE;
	}
	return insider_schema_of(class, object) == PG_CATALOG_NAMESPACE;
}

/* No expression of ours has an application's type, but one of ours or of the server. */
static bool
is_type_in_reach(Oid type)
{
	return OidIsValid(type) && (insider_is_in_catalog(TypeRelationId, type) || insider_owns(TypeRelationId, type));
}

static bool
is_cast_in_reach(Oid cast)
{
	static const CatalogColumn source = {CastRelationId, CastOidIndexId, Anum_pg_cast_oid, Anum_pg_cast_castsource};
	static const CatalogColumn target = {CastRelationId, CastOidIndexId, Anum_pg_cast_oid, Anum_pg_cast_casttarget};

	return is_type_in_reach(catalog_row_oid(&source, cast)) && is_type_in_reach(catalog_row_oid(&target, cast));
}

/* Those that come with the server; plpgsql can be made again. */
static bool
is_language_of_ours(Oid language)
{
	return language < FirstNormalObjectId || language == get_language_oid("plpgsql", true);
}

bool
insider_serves_ours(Oid class, Oid object)
{
	switch (class)
	{
		case CastRelationId:
			return is_cast_in_reach(object);
		case LanguageRelationId:
			return is_language_of_ours(object);
		case EventTriggerRelationId:
			return true;
		case ExtensionRelationId:
			/* What it has in the schema is looked at by itself. */
			return false;
		default:
			return insider_is_in_catalog(class, object);
	}
}
