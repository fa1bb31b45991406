/*
 * insider_server.c
 *	  Which objects of the server the extension's functions run on.
 *
 * The functions look names up in pg_catalog.  A new operator there that fits the arguments better,
 * a cast between the server's types, or another handler of a language can change their results
 * without touching an object of the extension.  An event trigger runs in every command that creates
 * a partition.  Operators in a schema of an application, and casts with a type of an application,
 * are left out.
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

/* Objects without a schema of their own, which belong to an operator family or to a table. */
static const struct
{
	CatalogColumn member;
	Oid			class;			/* catalog of the object it belongs to */
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

/* Our expressions use only our own types and those of the server. */
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

/* The languages that come with the server.  plpgsql may have been dropped and created again. */
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
			/* The objects that it puts into a schema are examined one by one. */
			return false;
		default:
			return insider_is_in_catalog(class, object);
	}
}
