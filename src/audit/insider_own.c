/*
 * insider_own.c
 *	  Is the extension's own code running, or a user's?
 *
 * The extension's functions run DDL and write to its bookkeeping tables.  These commands leave no
 * events, because the functions record their own.  No SQL can set this state.  The function
 * manager's hook reports when a function of the extension begins and ends, and when another
 * function is called meanwhile, for example by a trigger.  C code brackets its queries
 * (owner_run()).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "audit/insider.h"
#include "audit/insider_own.h"

/* The kind of a function.  A call that does not go through the hook does not change the state. */
typedef enum FunctionKind
{
	KIND_UNKNOWN,
	KIND_FOREIGN,
	KIND_LASTING,				/* not ours; changes files or pages, even after a rollback */
	KIND_OWN,					/* ours; an entry point that may write */
	KIND_OWN_PASSIVE			/* ours; its acts count as its caller's */
} FunctionKind;

#define KNOWN_FUNCTIONS 256

static struct
{
	Oid			function;
	FunctionKind kind;
}			known[KNOWN_FUNCTIONS];

/* The state that a call saves and restores. */
typedef struct CallFrame
{
	bool		was_own;
	Datum		next;			/* private data of the previous hook */
} CallFrame;

static bool is_own = false;
static bool is_worker = false;
static bool sees_every_call = false;
static needs_fmgr_hook_type previous_needs_hook = NULL;
static fmgr_hook_type previous_hook = NULL;

bool
insider_is_own(void)
{
	return is_own;
}

bool
insider_is_by_hand(void)
{
	return sees_every_call && !is_own;
}

bool
insider_own_begin(void)
{
	bool		before = is_own;

	is_own = true;
	return before;
}

void
insider_own_end(bool before)
{
	is_own = before;
}

void
insider_own_worker(void)
{
	is_worker = is_own = true;
}

void
insider_own_reset(void)
{
	is_own = is_worker;
}

bool
insider_is_our_extension(Oid extension)
{
	const char *name = OidIsValid(extension) ? get_extension_name(extension) : NULL;

	return name != NULL &&
		(strcmp(name, "admin_ext") == 0 || strncmp(name, "admin_ext_", strlen("admin_ext_")) == 0);
}

bool
insider_is_own_or_script(void)
{
	return insider_is_own() || (creating_extension && insider_is_our_extension(CurrentExtensionObject));
}

bool
insider_is_our_schema_name(const char *name)
{
	return strcmp(name, "admin") == 0 || strcmp(name, "admin_internal") == 0;
}

bool
insider_is_our_schema(Oid schema)
{
	const char *name = get_namespace_name(schema);

	return name != NULL && insider_is_our_schema_name(name);
}

/*
 * Is it an entry point?  Volatile functions that run as their owner, trigger functions, and the
 * functions listed here are; functions in C are not.  A superuser who calls any other helper
 * directly counts as acting by hand, and leaves the events of that.
 */
static bool
is_entry(Form_pg_proc form)
{
	static const char *const entries[] = {
		"grant_access", "revoke_access", "restore_guards",
		/* called by the worker; they leave sink.diverged and guard.changed */
		"fork_store", "look_at_reach"
	};

	if (form->prolang == ClanguageId)
		return false;
	/* The change that fires one of our triggers has its own event. */
	if (form->prorettype == TRIGGEROID)
		return true;
	for (int i = 0; i < lengthof(entries); i++)
	{
		if (strcmp(NameStr(form->proname), entries[i]) == 0)
			return true;
	}
	return form->prosecdef && form->provolatile == PROVOLATILE_VOLATILE;
}

/* Is it a function of pg_surgery or adminpack?  The C symbol tells, whatever the SQL name. */
static bool
is_lasting(HeapTuple function)
{
	bool		isnull;
	Datum		symbol = SysCacheGetAttr(PROCOID, function, Anum_pg_proc_prosrc, &isnull);
	const char *name = isnull ? "" : TextDatumGetCString(symbol);

	return strncmp(name, "heap_force_", strlen("heap_force_")) == 0 || strncmp(name, "pg_file_", strlen("pg_file_")) == 0;
}

static FunctionKind
look_up_function_kind(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	FunctionKind kind = KIND_FOREIGN;

	if (!HeapTupleIsValid(tuple))
		return KIND_FOREIGN;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (form->prolang == ClanguageId && is_lasting(tuple))
		kind = KIND_LASTING;
	else if (insider_is_our_schema(form->pronamespace) &&
			 insider_is_our_extension(getExtensionOfObject(ProcedureRelationId, function)))
		kind = is_entry(form) ? KIND_OWN : KIND_OWN_PASSIVE;
	ReleaseSysCache(tuple);
	return kind;
}

static FunctionKind
function_kind(Oid function)
{
	int			slot = function % KNOWN_FUNCTIONS;

	if (known[slot].function != function || known[slot].kind == KIND_UNKNOWN)
	{
		FunctionKind kind = look_up_function_kind(function);

		known[slot].function = function;
		known[slot].kind = kind;
	}
	return known[slot].kind;
}

static void
forget_function_kind(Datum arg, int cache, uint32 hash)
{
	memset(known, 0, sizeof(known));
}

static bool
needs_hook(Oid function)
{
	if (previous_needs_hook && previous_needs_hook(function))
		return true;
	/* Built-in functions run neither DDL nor user code. */
	if (function < FirstNormalObjectId)
		return false;
	switch (function_kind(function))
	{
		case KIND_OWN:
		case KIND_LASTING:
			return true;
		case KIND_OWN_PASSIVE:
			return false;
		default:
			return is_own;
	}
}

static void
at_call(FmgrHookEventType event, FmgrInfo *info, Datum *private)
{
	CallFrame  *frame = (CallFrame *) DatumGetPointer(*private);

	if (frame == NULL)
	{
		frame = MemoryContextAllocZero(info->fn_mcxt, sizeof(CallFrame));
		*private = PointerGetDatum(frame);
	}
	if (event == FHET_START)
	{
		FunctionKind kind = function_kind(info->fn_oid);

		if (kind == KIND_LASTING)
			insider_note_call(info->fn_oid);
		frame->was_own = is_own;
		if (kind != KIND_OWN_PASSIVE)
			is_own = kind == KIND_OWN;
	}
	else
		is_own = frame->was_own;
	if (previous_hook)
		previous_hook(event, info, &frame->next);
}

void
insider_own_init(void)
{
	sees_every_call = process_shared_preload_libraries_in_progress;
	CacheRegisterSyscacheCallback(PROCOID, forget_function_kind, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_function_kind, (Datum) 0);
	previous_needs_hook = needs_fmgr_hook;
	needs_fmgr_hook = needs_hook;
	previous_hook = fmgr_hook;
	fmgr_hook = at_call;
}
