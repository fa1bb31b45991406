/*
 * compat.h
 *	  The differences between PostgreSQL 14 and 18, and nothing else.
 */
#ifndef ADMIN_EXT_COMPAT_H
#define ADMIN_EXT_COMPAT_H

/* 16 gave the JSON parser's callbacks a result, 17 its lexer a place to live in. */
#if PG_VERSION_NUM >= 160000
#define compat_json_action JsonParseErrorType
#define compat_json_done return JSON_SUCCESS
#else
#define compat_json_action void
#define compat_json_done return
#endif
#if PG_VERSION_NUM >= 170000
#define compat_json_lexer(json, length, encoding) makeJsonLexContextCstringLen(NULL, json, length, encoding, true)
#else
#define compat_json_lexer(json, length, encoding) makeJsonLexContextCstringLen((char *) (json), length, encoding, true)
#endif

#ifndef FRONTEND
#include "access/genam.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

/* 16 took the access to variable-length data out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16 gave what settings point to a memory context of its own. */
#if PG_VERSION_NUM >= 160000
#define compat_guc_strdup(text) guc_strdup(LOG, text)
#define compat_guc_free(text) guc_free(text)
#else
#define compat_guc_strdup(text) strdup(text)
#define compat_guc_free(text) free(text)
#endif

/* 16 finds a setting by its name; before, all are looked through. */
#include "utils/guc_tables.h"

static inline GucSource
compat_guc_source(const char *name)
{
#if PG_VERSION_NUM >= 160000
	const struct config_generic *setting = find_option(name, false, true, DEBUG5);

	return setting ? setting->source : PGC_S_DEFAULT;
#else
	for (int i = 0; i < GetNumConfigOptions(); i++)
	{
		if (pg_strcasecmp(get_guc_variables()[i]->name, name) == 0)
			return get_guc_variables()[i]->source;
	}
	return PGC_S_DEFAULT;
#endif
}

/* 18 added the instrumentation argument. */
#if PG_VERSION_NUM >= 180000
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* 16 added onlySummarizing. */
#if PG_VERSION_NUM >= 160000
#define compat_insert_index_tuples(rri, slot, estate) \
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL, false)
#else
#define compat_insert_index_tuples(rri, slot, estate) \
	ExecInsertIndexTuples(rri, slot, estate, false, false, NULL, NIL)
#endif

/* 15 brought InitMaterializedSRF(); this does what it does, for functions with a declared row type. */
#if PG_VERSION_NUM < 150000
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc	desc;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || !(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap(false, false, work_mem);
	rsinfo->setDesc = desc;
	MemoryContextSwitchTo(old);
}
#endif

/* 15 replaced the variable by a function. */
#if PG_VERSION_NUM >= 150000
#define compat_insert_timeline() GetWALInsertionTimeLine()
#else
#define compat_insert_timeline() ThisTimeLineID
#endif

/* 16 said by what it finds the entry. */
#if PG_VERSION_NUM >= 160000
#define compat_backend_entry(index) pgstat_get_local_beentry_by_index(index)
#else
#define compat_backend_entry(index) pgstat_fetch_stat_local_beentry(index)
#endif

/* 15 gave it an argument. */
#if PG_VERSION_NUM >= 150000
#define compat_flushed() GetFlushRecPtr(NULL)
#else
#define compat_flushed() GetFlushRecPtr()
#endif

/* 16 made one function of the many. */
#if PG_VERSION_NUM >= 160000
#define compat_owns_database(oid, role) object_ownercheck(DatabaseRelationId, oid, role)
#else
#define compat_owns_database(oid, role) pg_database_ownercheck(oid, role)
#endif

/* 18 brought virtual generated columns. */
#if PG_VERSION_NUM >= 180000
#define compat_has_generated(constr) ((constr)->has_generated_stored || (constr)->has_generated_virtual)
#else
#define compat_has_generated(constr) ((constr)->has_generated_stored)
#endif

/* 17 moved the local transaction id. */
#if PG_VERSION_NUM >= 170000
#define compat_local_xid() (MyProc->vxid.lxid)
#else
#define compat_local_xid() (MyProc->lxid)
#endif

/* 18 turned the flag around. */
#if PG_VERSION_NUM >= 180000
#define compat_is_client(proc) ((proc)->isRegularBackend)
#else
#define compat_is_client(proc) (!(proc)->isBackgroundWorker)
#endif

/* 15 reserves the prefix.  Older versions only warn about settings that are already set. */
#if PG_VERSION_NUM >= 150000
#define compat_reserve_prefix(prefix) MarkGUCPrefixReserved(prefix)
#else
#define compat_reserve_prefix(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* 15 takes requests for shared memory in a hook; before, _PG_init makes them. */
#if PG_VERSION_NUM >= 150000
#define compat_requests_at_once false
#define compat_set_request_hook(previous, hook) ((previous) = shmem_request_hook, shmem_request_hook = (hook))
#else
typedef void (*shmem_request_hook_type) (void);
#define compat_requests_at_once true
#define compat_set_request_hook(previous, hook) ((void) (previous), (void) (hook))
#endif

/* 15 brought privileges on parameters. */
#if PG_VERSION_NUM >= 150000
#define compat_is_parameter(type) ((type) == OBJECT_PARAMETER_ACL)
#else
#define compat_is_parameter(type) false
#endif

/* 15 brought the text of a query tree; before, there is none. */
#if PG_VERSION_NUM >= 150000
#define compat_query_text(query) pg_get_querydef(query, false)
#else
#define compat_query_text(query) ((char *) NULL)
#endif

/* Up to 15 a view's query begins with entries for OLD and NEW, which nothing refers to. */
#if PG_VERSION_NUM < 160000
#include "access/table.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteManip.h"

static inline void
compat_add_rule_entries(Query *query, Oid view)
{
	Relation	relation = table_open(view, AccessShareLock);
	static const char *const names[] = {"new", "old"};

	for (int i = 0; i < lengthof(names); i++)
	{
		ParseState *state = make_parsestate(NULL);
		RangeTblEntry *entry = addRangeTableEntryForRelation(state, relation, AccessShareLock,
															 makeAlias(names[i], NIL), false, false)->p_rte;

		entry->requiredPerms = 0;
		query->rtable = lcons(entry, query->rtable);
		free_parsestate(state);
	}
	OffsetVarNodes((Node *) query, lengthof(names), 0);
	table_close(relation, NoLock);
}
#else
#define compat_add_rule_entries(query, view) ((void) 0)
#endif

#endif							/* FRONTEND */

#endif							/* ADMIN_EXT_COMPAT_H */
