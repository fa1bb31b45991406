/*
 * shipped.c
 *	  Compares the objects of this database with what this version of the library ships.
 *
 * The list of what is shipped is compiled into the library, out of reach of SQL.  A user who can
 * replace the library's file can replace the list.  doc/cutover.md says how to check the file.
 * What admin_ext_cutover adds is a list of its own, since an auditor may ask when that extension
 * has been dropped.
 */
#include "postgres.h"

#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "compat.h"
#include "cutover/object_tree.h"
#include "cutover/objects.h"
#include "cutover/objects_present.h"
#include "cutover/readiness_settings.h"
#include "cutover/shipped.h"

PG_FUNCTION_INFO_V1(admin_objects_present);
PG_FUNCTION_INFO_V1(admin_shipped_differences);

static const ShippedLine shipped_core[] = {
#include "cutover/shipped_objects.inc"
};

static const ShippedLine shipped_cutover[] = {
#include "cutover/shipped_cutover.inc"
};

/* Longer values say less than the name of what differs. */
#define VALUE_SHOWN		200

static void
shipped_report(List **problems, const char *item, const char *kind, const char *name, char *text)
{
	ObjectLine *problem = palloc0(sizeof(ObjectLine));

	problem->item = item;
	problem->kind = kind;
	problem->name = name;
	problem->value = text;
	problem->type = VALUE_PROBLEM;
	*problems = lappend(*problems, problem);
}

static int
shipped_order(const ShippedLine *shipped, const char *kind, const char *name, const char *facet)
{
	int			order = strcmp(shipped->kind, kind);

	if (order == 0)
		order = strcmp(shipped->name, name);
	return order != 0 ? order : strcmp(shipped->facet, facet);
}

/* The lines of the extensions that this database has, sorted, and one behind them without a kind. */
static const ShippedLine *
shipped_lines_here(void)
{
	int			core = lengthof(shipped_core);
	int			cutover = OidIsValid(get_extension_oid("admin_ext_cutover", true)) ? lengthof(shipped_cutover) : 0;
	ShippedLine *lines = palloc0((core + cutover + 1) * sizeof(ShippedLine));
	int			i = 0;
	int			j = 0;

	while (i < core || j < cutover)
	{
		const ShippedLine *next = j < cutover ? &shipped_cutover[j] : NULL;

		if (next == NULL || (i < core && shipped_order(&shipped_core[i], next->kind, next->name, next->facet) < 0))
		{
			lines[i + j] = shipped_core[i];
			i++;
		}
		else
		{
			lines[i + j] = *next;
			j++;
		}
	}
	return lines;
}

/* Of a missing or added object one facet is reported, and no parts if it is a relation. */
static bool
shipped_is_told(List *told, const char *kind, const char *name)
{
	ListCell   *cell;

	foreach(cell, told)
	{
		const ObjectLine *line = lfirst(cell);
		size_t		length = strlen(line->name);

		if (strcmp(line->name, name) == 0 && strcmp(line->kind, kind) == 0)
			return true;
		if ((strcmp(line->kind, "table") == 0 || strcmp(line->kind, "view") == 0) &&
			strncmp(line->name, name, length) == 0 && name[length] == '.')
			return true;
	}
	return false;
}

static void
shipped_report_whole(List **told, const ObjectLine *line, const char *words)
{
	if (!shipped_is_told(*told, line->kind, line->name))
		shipped_report(told, line->item, line->kind, line->name, psprintf("%s %s %s", line->kind, line->name, words));
}

/* Appends the parts of a list of properties that another list lacks. */
static bool
shipped_append_parts(StringInfo text, const char *word, const char *of, const char *lacking)
{
	bool		is_first = true;

	for (const char *part = of; part && *part;)
	{
		const char *end = strstr(part, ", ");
		size_t		length = end ? end - part : strlen(part);
		char	   *padded = psprintf(", %.*s, ", (int) length, part);

		if (strstr(psprintf(", %s, ", lacking), padded) == NULL)
		{
			appendStringInfo(text, "%s%.*s", is_first ? word : ", ", (int) length, part);
			is_first = false;
		}
		part = end ? end + 2 : NULL;
	}
	return !is_first;
}

static void
shipped_report_properties(List **problems, const ObjectLine *line, const char *shipped)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%s %s:", line->kind, line->name);
	if (shipped_append_parts(&text, " has ", line->value, shipped))
		appendStringInfoChar(&text, ',');
	if (!shipped_append_parts(&text, " lacks ", shipped, line->value))
		text.data[--text.len] = '\0';
	shipped_report(problems, line->item, line->kind, line->name, text.data);
}

static void
shipped_report_facet(List **problems, const ObjectLine *line, const char *shipped)
{
	const char *now = line->value;

	if (strcmp(line->facet, "properties") == 0 && now)
	{
		shipped_report_properties(problems, line, shipped);
		return;
	}
	if (now == NULL && line->type == VALUE_EXPRESSION && strlen(line->tree) < 16384)
		now = object_tree_text(line);
	if (now && strcmp(line->facet, "body") != 0 && strlen(now) <= VALUE_SHOWN && strlen(shipped) <= VALUE_SHOWN)
		shipped_report(problems, line->item, line->kind, line->name,
					   psprintf("%s %s: %s is %s instead of %s", line->kind, line->name, line->facet, now, shipped));
	else
		shipped_report(problems, line->item, line->kind, line->name,
					   psprintf("%s %s: its %s is not as shipped", line->kind, line->name, line->facet));
}

static void
shipped_compare_facet(List **problems, const ShippedLine *shipped, const ObjectLine *line)
{
	bool		is_same;

	if (line->type == VALUE_TEXT)
		is_same = line->value && strcmp(line->value, shipped->value) == 0;
	else
		is_same = object_tree_is(line, shipped->value);
	if (!is_same)
		shipped_report_facet(problems, line, shipped->value);
}

/*
 * Both lists are sorted alike.  Facets come and go within an object that is there: the
 * default of a column.  So an object is missing when none of its facets is there.
 */
static bool
shipped_object_exists(const ObjectLine *lines, int count, const char *kind, const char *name)
{
	int			low = 0;
	int			high = count;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(lines[middle].kind, kind);

		if (order == 0)
			order = strcmp(lines[middle].name, name);
		if (order == 0 && lines[middle].type != VALUE_PROBLEM)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool
shipped_object_is_known(const ShippedLine *shipped, const char *kind, const char *name)
{
	for (; shipped->kind; shipped++)
		if (strcmp(shipped->kind, kind) == 0 && strcmp(shipped->name, name) == 0)
			return true;
	return false;
}

static void
shipped_report_missing(List **told, List **problems, const ShippedLine *shipped, const ObjectLine *lines, int count)
{
	ObjectLine	line = {.item = shipped->item, .kind = shipped->kind, .name = shipped->name, .facet = shipped->facet};

	if (!shipped_object_exists(lines, count, line.kind, line.name))
		shipped_report_whole(told, &line, "is missing");
	else
		shipped_report(problems, line.item, line.kind, line.name,
					   psprintf("%s %s: %s is missing, shipped is %s", line.kind, line.name, line.facet,
								strlen(shipped->value) <= VALUE_SHOWN ? shipped->value : "another"));
}

static void
shipped_report_added(const ShippedLine *shipped_lines, List **told, List **problems, const ObjectLine *line)
{
	if (line->type == VALUE_PROBLEM)
		shipped_report(problems, line->item, line->kind, line->name, pstrdup(line->value));
	else if (strcmp(line->kind, "plain index") == 0)
		return;
	else if (!shipped_object_is_known(shipped_lines, line->kind, line->name))
		shipped_report_whole(told, line, "is not part of the extension");
	else
		shipped_report(problems, line->item, line->kind, line->name,
					   psprintf("%s %s: %s is not shipped%s%s", line->kind, line->name, line->facet,
								line->type == VALUE_EXPRESSION ? ": " : "",
								line->type == VALUE_EXPRESSION ? object_tree_text(line) : ""));
}

/* Tables and views sort behind their parts: what is wholly missing or added is found first. */
static List *
shipped_report_relations(const ShippedLine *shipped_lines, const ObjectLine *lines, int count)
{
	List	   *told = NIL;

	for (const ShippedLine *shipped = shipped_lines; shipped->kind; shipped++)
	{
		ObjectLine	line = {.item = shipped->item, .kind = shipped->kind, .name = shipped->name};

		if ((strcmp(shipped->kind, "table") == 0 || strcmp(shipped->kind, "view") == 0) &&
			!shipped_object_exists(lines, count, shipped->kind, shipped->name))
			shipped_report_whole(&told, &line, "is missing");
	}
	for (int i = 0; i < count; i++)
		if (lines[i].type != VALUE_PROBLEM && (strcmp(lines[i].kind, "table") == 0 || strcmp(lines[i].kind, "view") == 0) &&
			!shipped_object_is_known(shipped_lines, lines[i].kind, lines[i].name))
			shipped_report_whole(&told, &lines[i], "is not part of the extension");
	return told;
}

List *
shipped_differences(void)
{
	int			count;
	ObjectLine *lines = objects_present(&count);
	const ShippedLine *shipped_lines = shipped_lines_here();
	const ShippedLine *shipped = shipped_lines;
	List	   *told = shipped_report_relations(shipped_lines, lines, count);
	List	   *problems = NIL;
	int			i = 0;

	while (shipped->kind || i < count)
	{
		int			order = !shipped->kind ? 1 : i >= count ? -1 : shipped_order(shipped, lines[i].kind, lines[i].name, lines[i].facet);

		CHECK_FOR_INTERRUPTS();
		if (order < 0)
			shipped_report_missing(&told, &problems, shipped++, lines, count);
		else if (order > 0)
			shipped_report_added(shipped_lines, &told, &problems, &lines[i++]);
		else
			shipped_compare_facet(&problems, shipped++, &lines[i++]);
	}
	return list_concat(told, problems);
}

static Datum
shipped_text(const char *text)
{
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* The lines of the generated file, of this database: (item, kind, name, facet, value). */
Datum
admin_objects_present(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			settings;
	int			count;
	ObjectLine *lines;

	InitMaterializedSRF(fcinfo, 0);
	settings = readiness_pin_settings();
	SPI_connect();
	lines = objects_present(&count);
	for (int i = 0; i < count; i++)
	{
		const char *value = lines[i].tree ? object_tree_text(&lines[i]) : lines[i].value;
		Datum		values[] = {shipped_text(lines[i].item), shipped_text(lines[i].kind), shipped_text(lines[i].name),
		shipped_text(lines[i].facet), shipped_text(value)};
		bool		nulls[] = {false, false, false, false, value == NULL};

		if (lines[i].type != VALUE_PROBLEM)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	AtEOXact_GUC(true, settings);
	return (Datum) 0;
}

/* (item, problem) of each difference. */
Datum
admin_shipped_differences(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			settings;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	settings = readiness_pin_settings();
	SPI_connect();
	foreach(cell, shipped_differences())
	{
		const ObjectLine *problem = lfirst(cell);
		Datum		values[] = {shipped_text(problem->item), shipped_text(problem->value)};
		bool		nulls[] = {false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	SPI_finish();
	AtEOXact_GUC(true, settings);
	return (Datum) 0;
}
