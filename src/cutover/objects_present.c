/*
 * objects_present.c
 *	  What this database has of the extension, read from the catalogs.
 *
 * The queries stand in the library, so that no SQL object that a superuser can replace
 * takes part.  What differs between majors for the same object, and what a DBA may change
 * without harm (fillfactor, a tablespace, statistics, further plain indexes, columns that
 * were added and dropped), is left out.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"

#include "cutover/objects.h"
#include "cutover/objects_present.h"

/*
 * Each query gives item, kind, name, facet, value, tree, oid, type; "x" is the extension admin_ext, "m" the members
 * of it and of admin_ext_cutover, "c" our relations.
 */
#define OBJECTS_WITH \
	"with x as materialized (select e.oid, e.extowner, e.extversion from pg_extension as e where e.extname = 'admin_ext'), " \
	"m as materialized (select d.classid, d.objid, e.extname, e.extowner from pg_extension as e join pg_depend as d on d.refobjid = e.oid " \
	"  where e.extname in ('admin_ext', 'admin_ext_cutover') and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'), " \
	"s as materialized (select n.oid, n.nspname, n.nspowner from pg_namespace as n where n.nspname in ('admin', 'admin_internal')), " \
	"all_c as materialized (select c.oid, c.relname, c.relkind, c.relpersistence, c.relam, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, " \
	"  c.relowner, s.nspname, format('%I.%I', s.nspname, c.relname) as name, " \
	"  exists (select from pg_inherits as i where i.inhrelid = c.oid and i.inhparent = to_regclass('admin.audit')) as is_month, " \
	"  case when c.relname = 'audit' or c.relname like 'audit\\_y%' or c.relname = 'audit_default' then 'A3' " \
	"       when c.relkind = 'v' then 'A2' when c.relkind in ('r', 'p', 'S') then 'A1' else 'A4' end as item " \
	"  from pg_class as c join s on s.oid = c.relnamespace), " \
	"c as materialized (select * from all_c where not is_month) "

#define OBJECTS_OWNER(owner) \
	"case when " owner " <> x.extowner then 'owned by ' || pg_get_userbyid(" owner ")::text end"

/* The owner of the extension that the object is a member of may be another superuser. */
#define OBJECTS_MEMBER_OWNER(owner) \
	"case when " owner " <> coalesce(m.extowner, x.extowner) then 'owned by ' || pg_get_userbyid(" owner ")::text end"

#define OBJECTS_MEMBER \
	"case when m.extname is null then 'not a member of the extension' when m.extname <> 'admin_ext' then 'member of ' || m.extname end"

#define OBJECTS_JOIN_MEMBER(class, object) \
	" left join m on m.classid = 'pg_catalog." class "'::regclass and m.objid = " object

static const char *const object_queries[] = {
	OBJECTS_WITH
	"select 'A4', 'extension', e.extname::text, 'version', e.extversion, null::text, 0::oid, 0 from pg_extension as e where e.extname in ('admin_ext', 'admin_ext_cutover')",

	OBJECTS_WITH
	"select 'A4', 'schema', s.nspname::text, 'properties', concat_ws(', ', 'schema', " OBJECTS_OWNER("s.nspowner") "), null, 0::oid, 0 from s, x",

	OBJECTS_WITH
	"select 'A4', 'function', p.oid::regprocedure::text, 'properties', "
	"  concat_ws(', ', case p.prokind when 'a' then 'aggregate' when 'p' then 'procedure' when 'w' then 'window' else 'function' end, l.lanname, "
	"    '(' || pg_get_function_arguments(p.oid) || ')', 'returns ' || pg_get_function_result(p.oid), "
	"    case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end, "
	"    case p.proparallel when 's' then 'parallel safe' when 'r' then 'parallel restricted' end, "
	"    case when p.proisstrict then 'strict' end, case when p.proleakproof then 'leakproof' end, "
	"    case when p.prosecdef then 'security definer' end, case when p.prosupport <> 0 then 'support ' || p.prosupport::text end, "
	"    (select string_agg('set ' || c, ', ' order by c) from unnest(p.proconfig) as c), "
	"    (select format('sfunc %s, stype %s, sspace %s, finalfunc %s, combinefunc %s, serialfunc %s, deserialfunc %s, initial %s', a.aggtransfn, "
	"       format_type(a.aggtranstype, null), a.aggtransspace, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, coalesce(a.agginitval, 'null')) "
	"     from pg_aggregate as a where a.aggfnoid = p.oid), "
	OBJECTS_MEMBER_OWNER("p.proowner") ", " OBJECTS_MEMBER "), null, 0::oid, 0 "
	"from pg_proc as p join s on s.oid = p.pronamespace join pg_language as l on l.oid = p.prolang" OBJECTS_JOIN_MEMBER("pg_proc", "p.oid") ", x",

	/* A quoted body is the same everywhere, whatever made it. */
	OBJECTS_WITH
	"select 'A4', 'function', p.oid::regprocedure::text, 'body', "
	"  case when p.prosqlbody is null then case when p.probin is not null then concat_ws(' ', p.probin, p.prosrc) "
	"       when l.lanname = 'internal' then 'internal ' || p.prosrc else encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex') end end, "
	"  p.prosqlbody::text, p.oid, case when p.prosqlbody is null then 0 else 3 end "
	"from pg_proc as p join s on s.oid = p.pronamespace join pg_language as l on l.oid = p.prolang",

	OBJECTS_WITH
	"select c.item, case c.relkind when 'r' then 'table' when 'p' then 'table' when 'v' then 'view' when 'S' then 'sequence' else 'relation' end, c.name, 'properties', "
	"  concat_ws(', ', case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view' when 'S' then 'sequence' "
	"      when 'm' then 'materialized view' when 'f' then 'foreign table' when 'c' then 'composite type' else c.relkind::text end, "
	"    case when c.relkind = 'r' then (select a.amname from pg_am as a where a.oid = c.relam) end, "
	"    case c.relpersistence when 'u' then 'unlogged' when 't' then 'temporary' end, "
	"    case when c.relrowsecurity then 'row security enabled' end, case when c.relforcerowsecurity then 'row security forced' end, "
	"    case when c.relkind = 'v' then (select 'with ' || string_agg(o, ', ' order by o) from unnest(c.reloptions) as o) end, "
	"    (select format('%s from %s by %s, %s to %s, cache %s%s', format_type(q.seqtypid, null), q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, "
	"            case when q.seqcycle then ', cycles' end) from pg_sequence as q where q.seqrelid = c.oid), "
	OBJECTS_MEMBER_OWNER("c.relowner") ", " OBJECTS_MEMBER "), null, 0::oid, 0 "
	"from c" OBJECTS_JOIN_MEMBER("pg_class", "c.oid") ", x where c.relkind not in ('i', 'I', 't') and not (c.relname like 'audit\\_y%' and c.relkind = 'r')",

	OBJECTS_WITH
	"select c.item, 'view', c.name, 'definition', null, r.ev_action::text, c.oid, 2 "
	"from c join pg_rewrite as r on r.ev_class = c.oid where c.relkind = 'v' and r.rulename = '_RETURN'",

	/* C reads columns by their number.  Columns that were dropped need not be listed. */
	OBJECTS_WITH
	"select c.item, 'column', format('%s.%I', c.name, a.attname), 'type', "
	"  concat_ws(' ', a.attnum || ':', format_type(a.atttypid, a.atttypmod), "
	"    case when a.attcollation <> t.typcollation then 'collate ' || a.attcollation::regcollation::text end, "
	"    case when a.attnotnull then 'not null' end, case a.attidentity when 'a' then 'identity always' when 'd' then 'identity' end, "
	"    case when a.attgenerated <> '' then 'generated' end), null, 0::oid, 0 "
	"from c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped join pg_type as t on t.oid = a.atttypid "
	"where c.relkind in ('r', 'p', 'v', 'm', 'f') and not (c.relname like 'audit\\_y%' and c.relkind = 'r')",

	OBJECTS_WITH
	"select c.item, 'column', format('%s.%I', c.name, a.attname), 'default', null, d.adbin::text, c.oid, 1 "
	"from c join pg_attrdef as d on d.adrelid = c.oid join pg_attribute as a on a.attrelid = c.oid and a.attnum = d.adnum "
	"where not (c.relname like 'audit\\_y%' and c.relkind = 'r')",

	OBJECTS_WITH
	"select c.item, 'constraint', format('%s.%I', c.name, k.conname), 'expression', null, k.conbin::text, c.oid, 1 "
	"from c join pg_constraint as k on k.conrelid = c.oid where k.contype = 'c' and not (c.relname like 'audit\\_y%' and c.relkind = 'r')",

	/* 18 keeps NOT NULL as constraints, which the columns have said. */
	OBJECTS_WITH
	"select c.item, 'constraint', format('%s.%I', c.name, k.conname), 'definition', concat_ws(', ', "
	"  case when k.contype = 'c' then 'check' else regexp_replace(pg_get_constraintdef(k.oid), ' WITH \\([^)]*\\)| NOT VALID', '', 'g') end, "
	"  case when not k.convalidated then 'not validated' end, case when pg_get_constraintdef(k.oid) like '% NOT ENFORCED%' then 'not enforced' end, "
	"  case when k.contype = 'c' and k.connoinherit then 'not inherited' end), null, 0::oid, 0 "
	"from c join pg_constraint as k on k.conrelid = c.oid where k.contype not in ('n', 't') and not (c.relname like 'audit\\_y%' and c.relkind = 'r')",

	/* Further plain indexes cost time, and nothing else. */
	OBJECTS_WITH
	"select c.item, case when i.indisunique or i.indexprs is not null or i.indpred is not null then 'index' else 'plain index' end, "
	"  format('%s.%I', c.name, ic.relname), 'definition', concat_ws(', ', regexp_replace(pg_get_indexdef(i.indexrelid), ' WITH \\([^)]*\\)', ''), "
	"  case when not (i.indisvalid and i.indisready and i.indislive) then 'invalid' end), null, 0::oid, 0 "
	"from c join pg_index as i on i.indrelid = c.oid join pg_class as ic on ic.oid = i.indexrelid where not (c.relname like 'audit\\_y%' and c.relkind = 'r')",

	OBJECTS_WITH
	"select 'A5', 'trigger', format('%s.%I', c.name, t.tgname), f.facet, f.value, null, 0::oid, 0 "
	"from c join pg_trigger as t on t.tgrelid = c.oid, "
	"  lateral (values ('definition', pg_get_triggerdef(t.oid)), ('enabled', case t.tgenabled when 'A' then 'always' when 'O' then 'origin' when 'R' then 'replica' else 'disabled' end)) as f(facet, value) "
	"where not t.tgisinternal and not (c.relname like 'audit\\_y%' and c.relkind = 'r')",

	OBJECTS_WITH
	"select 'A4', t.kind, t.name, 'definition', t.kind, null, 0::oid, 0 from ("
	"  select 'type', format('%I.%I', s.nspname, t.typname) from pg_type as t join s on s.oid = t.typnamespace where t.typtype not in ('c', 'p') and t.typcategory <> 'A' "
	"  union all select 'operator', o.oid::regoperator::text from pg_operator as o join s on s.oid = o.oprnamespace "
	"  union all select 'operator class', format('%I.%I', s.nspname, o.opcname) from pg_opclass as o join s on s.oid = o.opcnamespace "
	"  union all select 'collation', format('%I.%I', s.nspname, o.collname) from pg_collation as o join s on s.oid = o.collnamespace "
	"  union all select 'conversion', format('%I.%I', s.nspname, o.conname) from pg_conversion as o join s on s.oid = o.connamespace) as t(kind, name)",

	/* What no version ships. */
	OBJECTS_WITH
	"select c.item, 'rule', format('%s.%I', c.name, r.rulename), '', format('rule \"%s\" of %s is not part of the extension; drop it', r.rulename, c.name), null, 0::oid, 4 "
	"from all_c as c join pg_rewrite as r on r.ev_class = c.oid where r.rulename <> '_RETURN' "
	"union all select c.item, 'rule', c.name, '', format('the query of view %s is disabled; run ALTER TABLE %s ENABLE RULE \"_RETURN\"', c.name, c.name), null, 0::oid, 4 "
	"from all_c as c join pg_rewrite as r on r.ev_class = c.oid where r.rulename = '_RETURN' and r.ev_enabled <> 'O' "
	"union all select c.item, 'policy', format('%s.%I', c.name, p.polname), '', format('policy \"%s\" of %s is not part of the extension; drop it', p.polname, c.name), null, 0::oid, 4 "
	"from all_c as c join pg_policy as p on p.polrelid = c.oid "
	"union all select c.item, 'inheritance', c.name, i.inhrelid::regclass::text, format('table %s inherits from %s: its rows would show as rows of %s; run ALTER TABLE %s NO INHERIT %s', "
	"  i.inhrelid::regclass, c.name, c.name, i.inhrelid::regclass, c.name), null, 0::oid, 4 "
	"from all_c as c join pg_inherits as i on i.inhparent = c.oid where c.relkind = 'r' "
	"union all select c.item, 'inheritance', c.name, i.inhparent::regclass::text, format('table %s inherits from %s; run ALTER TABLE %s NO INHERIT %s', c.name, i.inhparent::regclass, c.name, i.inhparent::regclass), null, 0::oid, 4 "
	"from c join pg_inherits as i on i.inhrelid = c.oid where c.relkind = 'r' "
	"union all select c.item, 'table', c.name, '', format('table %s is no partition of admin.audit; attach it again, or move it out of the schema', c.name), null, 0::oid, 4 "
	"from c where c.relname like 'audit\\_y%' and c.relkind = 'r' "
	"union all select distinct 'A5', 'trigger', k.conrelid::regclass::text, k.conname::text, "
	"  format('triggers of constraint \"%s\" of %s are disabled; call admin.restore_guards()', k.conname, k.conrelid::regclass), null::text, 0::oid, 4 "
	"from all_c as c join pg_trigger as t on t.tgrelid = c.oid join pg_constraint as k on k.oid = t.tgconstraint where t.tgisinternal and t.tgenabled in ('D', 'R') "
	"union all select 'A3', 'constraint', k.conrelid::regclass::text, k.conname::text, "
	"  format('constraint \"%s\" of %s refers to %s, which can no longer be dropped; drop that constraint', k.conname, k.conrelid::regclass, c.name), null, 0::oid, 4 "
	"from all_c as c join pg_constraint as k on k.confrelid = c.oid where c.is_month and k.contype = 'f'",

	/* Months are not shipped: the trail itself says what they have to be. */
	OBJECTS_WITH
	"select 'A3', 'partition', c.name, f.facet, f.problem, null, 0::oid, 4 from all_c as c, x, lateral (values "
	"  ('columns', case when (select array_agg((a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attcollation) order by a.attnum) from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) is distinct from "
	"                       (select array_agg((a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attcollation) order by a.attnum) from pg_attribute as a where a.attrelid = to_regclass('admin.audit') and a.attnum > 0 and not a.attisdropped) "
	"              then format('columns of partition %s are not those of admin.audit by number and type; detach it, and copy its rows into a table like admin.audit', c.name) end), "
	"  ('owner', case when c.relowner <> x.extowner then format('partition %s is owned by %s; run ALTER TABLE %s OWNER TO %s', c.name, pg_get_userbyid(c.relowner), c.name, pg_get_userbyid(x.extowner)) end), "
	"  ('logged', case when c.relpersistence <> 'p' then format('partition %s is unlogged: a crash empties it; run ALTER TABLE %s SET LOGGED', c.name, c.name) end), "
	"  ('kind', case when c.relkind <> 'r' then format('partition %s is no ordinary table', c.name) end), "
	"  ('row security', case when c.relrowsecurity or c.relforcerowsecurity then format('row security is on for partition %s; run ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', c.name, c.name) end)) as f(facet, problem) "
	"where c.is_month and f.problem is not null "
	"union all select 'A3', 'constraint', c.name, k.conname::text, format('constraint \"%s\" of partition %s is not part of the extension; drop it', k.conname, c.name), null, 0::oid, 4 "
	"from all_c as c join pg_constraint as k on k.conrelid = c.oid where c.is_month and k.contype in ('c', 'f') and k.coninhcount = 0 "
	"union all select 'A5', 'trigger', c.name, t.tgname::text, format('trigger \"%s\" of partition %s is not part of the extension; drop it', t.tgname, c.name), null, 0::oid, 4 "
	"from all_c as c join pg_trigger as t on t.tgrelid = c.oid where c.is_month and not t.tgisinternal and t.tgparentid = 0 "
	"and t.tgname not in (select a.tgname from pg_trigger as a where a.tgrelid = to_regclass('admin.audit')) "

	/*
	 * Their own trigger of statements, and the clone of the trail's trigger of rows: by what they
	 * do, not by name.
	 */
	"union all select 'A5', 'trigger', c.name, g.tgname::text, format('trigger \"%s\" of partition %s is missing, or has another function, other events or a condition; %s', g.tgname, c.name, g.remedy), null, 0::oid, 4 "
	"from all_c as c, (values ('audit_append_only', 1 + 2 + 4 + 8 + 16, 'make that of admin.audit as it was'), "
	"  ('audit_append_only_statement', 2 + 4 + 8 + 16 + 32, 'call admin.restore_guards()')) as g(tgname, type, remedy) "
	"where c.is_month and not exists (select from pg_trigger as t where t.tgrelid = c.oid and t.tgname = g.tgname and t.tgtype = g.type "
	"  and t.tgfoid = to_regprocedure('admin.audit_append_only()') and t.tgqual is null and t.tgattr::text = '' and t.tgnargs = 0 and t.tgconstraint = 0) "
	/* C refuses rows of a table that has had other columns, since it reads them by number. */
	"union all select c.item, 'column', c.name, '', format('a column of %s was added and dropped: its rows are refused; dump the database and restore it, which leaves such columns out', c.name), null, 0::oid, 4 "
	"from c where c.name in ('admin.approval', 'admin.signature', 'admin.audit', 'admin.audit_attributes') "
	"  and exists (select from pg_attribute as a where a.attrelid = c.oid and a.attisdropped) ",
};

static int
object_line_compare(const void *a, const void *b)
{
	const ObjectLine *left = a;
	const ObjectLine *right = b;
	int			order = strcmp(left->kind, right->kind);

	if (order == 0)
		order = strcmp(left->name, right->name);
	return order != 0 ? order : strcmp(left->facet, right->facet);
}

static void
object_line_read(HeapTuple tuple, TupleDesc desc, ObjectLine *line)
{
	bool		isnull;

	line->item = SPI_getvalue(tuple, desc, 1);
	line->kind = SPI_getvalue(tuple, desc, 2);
	line->name = SPI_getvalue(tuple, desc, 3);
	line->facet = SPI_getvalue(tuple, desc, 4);
	line->value = SPI_getvalue(tuple, desc, 5);
	line->tree = SPI_getvalue(tuple, desc, 6);
	line->oid = DatumGetObjectId(SPI_getbinval(tuple, desc, 7, &isnull));
	line->type = (ObjectValue) DatumGetInt32(SPI_getbinval(tuple, desc, 8, &isnull));
}

/* The lines live in SPI's context. */
ObjectLine *
objects_present(int *count)
{
	ObjectLine *lines = NULL;
	int			n = 0;

	for (int i = 0; i < lengthof(object_queries); i++)
	{
		if (SPI_execute(object_queries[i], true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read the objects of the extension");
		if (SPI_processed == 0)
			continue;
		lines = lines ? repalloc(lines, (n + SPI_processed) * sizeof(ObjectLine)) : palloc(SPI_processed * sizeof(ObjectLine));
		for (uint64 row = 0; row < SPI_processed; row++)
			object_line_read(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, &lines[n++]);
		SPI_freetuptable(SPI_tuptable);
	}
	if (n > 0)
		qsort(lines, n, sizeof(ObjectLine), object_line_compare);
	*count = n;
	return lines;
}
