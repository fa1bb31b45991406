/*
 * object_tree.c
 *	  Views, expressions and parsed function bodies, compared by meaning.
 *
 * Their text depends on the major and on what pg_upgrade has done: it creates a CHECK
 * from its own text, which loses parentheses.  So the shipped text is parsed by this
 * server, and the trees are compared after nested ANDs and ORs were flattened in both.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "executor/functions.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "compat.h"
#include "cutover/attempt.h"
#include "cutover/object_tree.h"
#include "cutover/objects.h"

/* How the server begins the text of a body of one expression. */
#define RETURN_KEYWORD	" RETURN"

/*
 * Names within a query that mean nothing outside it: those that the server gives to
 * columns without a name, and those it adds when it prints one.  The columns of a view
 * have lines of their own.
 */
static void
object_tree_strip_names(Query *query)
{
	ListCell   *cell;

	foreach(cell, query->rtable)
	{
		lfirst_node(RangeTblEntry, cell)->alias = NULL;
		lfirst_node(RangeTblEntry, cell)->eref = NULL;
	}
	foreach(cell, query->targetList)
		lfirst_node(TargetEntry, cell)->resname = NULL;
	foreach(cell, query->cteList)
		lfirst_node(CommonTableExpr, cell)->ctecolnames = NIL;
}

/* A copy with nested ANDs and ORs flattened; with a context, for comparing alone, without names. */
static Node *
object_tree_flatten(Node *node, void *context)
{
	BoolExpr   *expr;
	List	   *args = NIL;
	ListCell   *cell;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		Query	   *query = query_tree_mutator((Query *) node, object_tree_flatten, context, 0);

		query->stmt_location = 0;
		query->stmt_len = 0;
		if (context)
			object_tree_strip_names(query);
		return (Node *) query;
	}
	node = expression_tree_mutator(node, object_tree_flatten, context);
	if (!IsA(node, BoolExpr) || ((BoolExpr *) node)->boolop == NOT_EXPR)
		return node;
	expr = (BoolExpr *) node;
	foreach(cell, expr->args)
	{
		BoolExpr   *arg = (BoolExpr *) lfirst(cell);

		if (IsA(arg, BoolExpr) && arg->boolop == expr->boolop)
			args = list_concat(args, arg->args);
		else
			args = lappend(args, arg);
	}
	expr->args = args;
	return node;
}

static char *
object_tree_relation(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
}

static Node *
object_tree_of(const ObjectLine *line)
{
	Node	   *tree = stringToNode(line->tree);

	return line->type == VALUE_VIEW ? linitial((List *) tree) : tree;
}

/* NULL where the server has no text for it. */
static char *
object_tree_query_text(Node *tree)
{
	StringInfoData text;
	ListCell   *cell;

	if (IsA(tree, Query))
		return compat_query_text((Query *) tree);
	initStringInfo(&text);
	foreach(cell, (List *) tree)
	{
		char	   *one = object_tree_query_text(lfirst(cell));

		if (one == NULL)
			return NULL;
		appendStringInfo(&text, "%s%s", text.len > 0 ? "; " : "", one);
	}
	return text.data;
}

char *
object_tree_text(const ObjectLine *line)
{
	Node	   *tree = object_tree_flatten(object_tree_of(line), NULL);

	if (line->type == VALUE_EXPRESSION)
		return deparse_expression(tree, deparse_context_for(get_rel_name(line->oid), line->oid), false, true);
	return object_tree_query_text(tree);
}

/* With a function its arguments are known as $1 and by name. */
static Query *
object_tree_analyze(RawStmt *statement, const char *source, HeapTuple function)
{
	ParseState *state = make_parsestate(NULL);
	Query	   *query;

	state->p_sourcetext = source;
	if (function)
		sql_fn_parser_setup(state, prepare_sql_fn_parse_info(function, NULL, InvalidOid));
	query = transformTopLevelStmt(state, statement);
	free_parsestate(state);
	return query;
}

static Query *
object_tree_parse_query(const char *source)
{
	return object_tree_analyze(linitial_node(RawStmt, raw_parser(source, RAW_PARSE_DEFAULT)), source, NULL);
}

static Node *
object_tree_parse_expression(const char *source, Oid relation)
{
	Query	   *query = object_tree_parse_query(psprintf("select (%s) from only %s", source, object_tree_relation(relation)));

	return (Node *) linitial_node(TargetEntry, query->targetList)->expr;
}

static Node *
object_tree_parse_view(const char *source, Oid relation)
{
	Query	   *query = object_tree_parse_query(source);

	compat_add_rule_entries(query, relation);
	return (Node *) query;
}

static Node *
object_tree_parse_body(const char *source, Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		is_return = strncmp(source, RETURN_KEYWORD, strlen(RETURN_KEYWORD)) == 0;
	List	   *queries = NIL;
	ListCell   *cell;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	if (is_return)
		source = psprintf("select %s", source + strlen(RETURN_KEYWORD));
	foreach(cell, raw_parser(source, RAW_PARSE_DEFAULT))
		queries = lappend(queries, object_tree_analyze(lfirst_node(RawStmt, cell), source, tuple));
	ReleaseSysCache(tuple);
	if (is_return)
	{
		Query	   *query = linitial_node(Query, queries);

		query->isReturn = true;
		linitial_node(TargetEntry, query->targetList)->resname = NULL;
		return (Node *) query;
	}
	return (Node *) list_make1(queries);
}

static Node *
object_tree_parse(const ObjectLine *line, const char *source)
{
	switch (line->type)
	{
		case VALUE_EXPRESSION:
			return object_tree_parse_expression(source, line->oid);
		case VALUE_VIEW:
			return object_tree_parse_view(source, line->oid);
		default:
			return object_tree_parse_body(source, line->oid);
	}
}

/* What object_tree_is() compares. */
typedef struct Comparison
{
	const ObjectLine *line;
	const char *shipped;
	bool		is_same;
} Comparison;

static void
compare_objects(void *argument)
{
	Comparison *comparison = argument;
	void	   *line = (void *) comparison->line;

	comparison->is_same = equal(object_tree_flatten(object_tree_of(line), line),
								object_tree_flatten(object_tree_parse(line, comparison->shipped), line));
}

/* An object that the text names may have been dropped. */
bool
object_tree_is(const ObjectLine *line, const char *shipped)
{
	Comparison	comparison = {line, shipped, false};

	return cutover_attempt(compare_objects, &comparison) == NULL && comparison.is_same;
}
