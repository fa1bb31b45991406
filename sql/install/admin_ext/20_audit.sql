-- ---------------------------------------------------------------------------
-- The audit trail.
-- ---------------------------------------------------------------------------

-- The parent has no index, and the script makes no month: both would be members of the
-- extension, which pg_dump leaves out, and a restore would clash with them or have no
-- place for the rows.  admin.create_audit_partitions() makes months as ordinary tables,
-- each with its own indexes.
create table admin.audit (
    audit_id        bigint generated always as identity,
    xid             xid8        not null default pg_current_xact_id(),
    recorded_at     timestamptz not null default clock_timestamp(),
    occurred_at     timestamptz not null default clock_timestamp(),
    event_type      text        not null,
    approval_id     text collate "C",
    actor           text,
    source          text        not null default 'admin_ext',
    source_event_id text,
    request_id      text,
    traceparent     text,
    payload         json        not null,
    constraint audit_recorded_at_finite check (isfinite(recorded_at)),
    constraint audit_occurred_at_finite check (isfinite(occurred_at))
) partition by range (recorded_at);

comment on table admin.audit is
'Every decision and every change, appended in the transaction that made it. INSERT by hand, UPDATE, DELETE and TRUNCATE are refused for everybody; space is freed by admin.drop_audit_partitions() only. A partition needs its indexes and its trigger: admin.create_audit_partitions() gives them to any that lacks them.';
comment on column admin.audit.audit_id is 'Number of the row, ascending. A transaction that rolls back leaves a gap.';
comment on column admin.audit.xid is 'The top-level transaction that wrote the row. Delivery reads the trail by it, so no other value is accepted.';
comment on column admin.audit.recorded_at is 'When the row was written, by the clock of this server.';
comment on column admin.audit.occurred_at is 'When the event happened; for a check, the instant it was evaluated at.';
comment on column admin.audit.event_type is 'sensitive.check.2b, approval.*, signature.added, row.* or ingest.*';
comment on column admin.audit.approval_id is 'The approval it is about, if any.';
comment on column admin.audit.actor is 'Who acted, as far as the data say; for a change to another table, the session''s user.';
comment on column admin.audit.source is 'admin_ext for what happened here; the CloudEvents source of an ingested event.';
comment on column admin.audit.source_event_id is 'The CloudEvents id of an ingested event; null for what happened here.';
comment on column admin.audit.request_id is 'The caller''s own name for its request.';
comment on column admin.audit.traceparent is 'W3C Trace Context, as the caller gave it.';
comment on column admin.audit.payload is 'The event''s data: json, not jsonb, because the text is built once, then stored, delivered and hashed byte for byte.';

create function admin.audit_append_only()
returns trigger
as 'MODULE_PATHNAME', 'admin_audit_append_only'
language c;

comment on function admin.audit_append_only() is
'Trigger of admin.audit and its partitions: refuses INSERT by hand, UPDATE, DELETE and TRUNCATE with 23001. Rows of a dump pass while admin_ext.restoring is on.';

create trigger audit_append_only
before insert or update or delete on admin.audit
for each row execute function admin.audit_append_only();

create trigger audit_append_only_statement
before insert or update or delete or truncate on admin.audit
for each statement execute function admin.audit_append_only();

comment on sequence admin.audit_audit_id_seq is 'Numbers of admin.audit; CACHE 1, so that they are drawn in order.';
comment on trigger audit_append_only on admin.audit is 'Refuses INSERT by hand, UPDATE and DELETE.';
comment on trigger audit_append_only_statement on admin.audit is 'Refuses INSERT by hand, UPDATE, DELETE and TRUNCATE; on a month that is detached, too.';

alter table admin.audit enable always trigger audit_append_only;
alter table admin.audit enable always trigger audit_append_only_statement;

-- What every partition needs, whoever made it: what it is called here, how its index is recognised, and how it is made.
create function admin_internal.audit_partition_needs()
returns table (need text, columns text[], is_unique boolean, predicate text, statement text)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    values
    ('primary key (audit_id)', array['audit_id'], true, null, 'alter table %s add primary key (audit_id)'),
    ('index (xid, audit_id)', array['xid', 'audit_id'], false, null, 'create index on %s (xid, audit_id)'),
    ('index (approval_id, audit_id)', array['approval_id', 'audit_id'], false, '(approval_id IS NOT NULL)',
     'create index on %s (approval_id, audit_id) where approval_id is not null'),
    ('unique index (source, source_event_id)', array['source', 'source_event_id'], true, '(source_event_id IS NOT NULL)',
     'create unique index on %s (source collate "C", source_event_id collate "C") where source_event_id is not null'),
    ('index of withdrawals', array['approval_id'], false, '(event_type = ''approval.withdrawn''::text)',
     'create index on %s (approval_id) where event_type = ''approval.withdrawn''');
end;

comment on function admin_internal.audit_partition_needs() is
'The indexes that delivery, ingest, replay and other readers use in a partition of the trail: the columns and the predicate of each, and the statement that makes it.';

-- Compared by what the catalog holds; the predicate's text depends on settings, which are pinned.
create function admin_internal.partition_has_index(partition regclass, columns text[], is_unique boolean, predicate text)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
-- A string: a column of pg_collation has another type in 14.
as $$
    select exists (
        select from pg_index as i
        join pg_class as c on c.oid = i.indexrelid
        join pg_am as m on m.oid = c.relam and m.amname = 'btree'
        where i.indrelid = partition and i.indisvalid and i.indexprs is null and i.indisunique = is_unique
          and pg_get_expr(i.indpred, i.indrelid) is not distinct from predicate
          -- Text is looked up by its bytes.
          and not exists (select from unnest(i.indcollation) as l(oid) left join pg_collation as n on n.oid = l.oid
                          where l.oid <> 0 and n.collcollate <> 'C')
          and array(select a.attname::text from unnest(i.indkey) with ordinality as k(number, o)
                    join pg_attribute as a on a.attrelid = partition and a.attnum = k.number
                    where k.o <= i.indnkeyatts order by k.o) = columns)
$$;

comment on function admin_internal.partition_has_index(regclass, text[], boolean, text) is
'Has this partition a valid btree index with these columns, in this order, and this predicate?';

-- A trigger of that name that does something else, or only sometimes, is no guard.
create function admin_internal.partition_guard(partition regclass)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select case when t.oid is null then 'missing'
                -- BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE, for each statement
                when t.tgfoid = 'admin.audit_append_only()'::regprocedure and t.tgtype = 2 + 4 + 8 + 16 + 32 and t.tgqual is null
                     and t.tgattr::text = '' and t.tgnargs = 0 and t.tgconstraint = 0 and not t.tgisinternal then 'fine'
                when t.tgconstraint <> 0 then 'constraint'
                else 'other' end
    from (values (partition)) as p(oid)
    left join pg_trigger as t on t.tgrelid = p.oid and t.tgname = 'audit_append_only_statement';
end;

comment on function admin_internal.partition_guard(regclass) is
'Has a partition of the trail the trigger of its statements? fine, missing, or a trigger of that name with another function, other events or a condition: constraint, if it is a constraint trigger, or other.';

create function admin_internal.audit_partition_lacks(partition regclass)
returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select n.need from admin_internal.audit_partition_needs() as n
    where not admin_internal.partition_has_index(partition, n.columns, n.is_unique, n.predicate)
    union all
    select case g.guard when 'missing' then 'trigger audit_append_only_statement'
                        else 'trigger audit_append_only_statement with its function and events, without a condition' end
    from admin_internal.partition_guard(partition) as g(guard) where g.guard <> 'fine';
end;

comment on function admin_internal.audit_partition_lacks(regclass) is 'What a partition of admin.audit needs and does not have.';

create function admin_internal.prepare_partition_triggers(partition regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    guard  text := admin_internal.partition_guard(partition);
    making text;
begin
    -- That one cannot be replaced.
    if guard = 'constraint' then
        execute format('drop trigger audit_append_only_statement on %s', partition);
    end if;
    if guard <> 'fine' then
        execute format('create or replace trigger audit_append_only_statement '
                       'before insert or update or delete or truncate on %s '
                       'for each statement execute function admin.audit_append_only()', partition);
    end if;
    -- A table that is not attached yet gets the row's trigger from its parent.
    for making in
        select format('alter table only %s enable always trigger %I', partition, t.tgname) from pg_trigger as t
        where t.tgrelid = partition and t.tgname in ('audit_append_only', 'audit_append_only_statement') and t.tgenabled <> 'A'
    loop
        execute making;
    end loop;
end
$$;

comment on function admin_internal.prepare_partition_triggers(regclass) is
'Gives a partition of admin.audit the trigger of its statements, where it lacks it or has another one of that name, and enables its triggers always.';

create function admin_internal.audit_prepare_partition(partition regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    lacks  text[] := array(select admin_internal.audit_partition_lacks(partition));
    making text;
begin
    for making in select n.statement from admin_internal.audit_partition_needs() as n where n.need = any (lacks) loop
        execute format(making, partition);
    end loop;
    perform admin_internal.prepare_partition_triggers(partition);
end
$$;

comment on function admin_internal.audit_prepare_partition(regclass) is
'Gives a partition of admin.audit the indexes that it is read by and the trigger of its statements, where it lacks them, and enables its triggers always.';

create function admin_internal.append_event(event_type text, payload json, approval_id text default null)
returns bigint
as 'MODULE_PATHNAME', 'admin_append_event'
language c volatile;

comment on function admin_internal.append_event(text, json, text) is
'Appends one event about the trail itself and returns its audit_id. The actor is the session''s user. Raises 22023 when event_type or payload is null, or for a type of event that somebody else''s act leaves (approval.*, signature.*, sensitive.check*, row.*, ingest.*). Raises 23001 for a type that a function of the extension leaves (access.*, archive.*, dead_letter.*, gap.*, guard.*, partition.*, setting.*, shadow.*, sink.*) when a superuser calls it, as far as admin_ext is in shared_preload_libraries.';

-- Texts that name something are shown on one line, by a view or in a log.  Reasons and comments may have lines.
create function admin_internal.has_control_character(value text)
returns boolean
as 'MODULE_PATHNAME', 'admin_has_control_character'
language c immutable strict parallel safe;

comment on function admin_internal.has_control_character(text) is
'Whether a text has a control character or, in a database in UTF8, a separator of lines or paragraphs.';

-- The trail writes years beyond 1 to 9999 as ISO 8601 has them: "+294276", "-4712", and "0000", which is 1 BC.
create function admin_internal.readable_instant(instant text)
returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
begin atomic
    select case when instant like '+%' then substr(instant, 2)
                when instant ~ '^(-|0000-)' then lpad((1 - substring(instant from '^-?\d+')::int)::text, 4, '0') || substring(instant from '^-?\d+(.*)$') || ' BC'
                else instant end;
end;

comment on function admin_internal.readable_instant(text) is
'An instant as the trail and answers have it, in the form that the server reads: the two differ beyond the years 1 to 9999.';

create function admin_internal.readable_row(recorded json)
returns json
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
begin atomic
    select case when recorded::text ~ '"([-+]\d|0000-)'
                then (select json_object_agg(m.key, case when m.key in ('sla_deadline', 'created_at', 'updated_at', 'closed_at', 'signed_at')
                                                         then to_json(admin_internal.readable_instant(m.value #>> '{}')) else m.value end)
                      from json_each(recorded) as m)
                else recorded end;
end;

comment on function admin_internal.readable_row(json) is
'The row of an approval or a signature as the trail has it, with instants that json_populate_record() reads.';

create function admin_internal.refuse_while_restoring(function text)
returns void
as 'MODULE_PATHNAME', 'admin_refuse_while_restoring'
language c volatile strict;

comment on function admin_internal.refuse_while_restoring(text) is
'Raises 55000 while admin_ext.restoring is on. "function" is the name that the message has.';

create function admin.audit_row_change()
returns trigger
as 'MODULE_PATHNAME', 'admin_audit_row_change'
language c;

comment on function admin.audit_row_change() is
'Trigger that appends what changed to admin.audit: approval.* and signature.added for the tables of this extension, row.inserted, row.updated, row.deleted and row.truncated for tables given to admin.attach_audit(). Payload: {"op", "changed": {column: [old, new]}, "row"}, and "relation" for the latter.';

create trigger audit_row_change
after insert or update on admin.approval
for each row execute function admin.audit_row_change();

create trigger audit_row_change
after insert on admin.signature
for each row execute function admin.audit_row_change();

alter table admin.approval enable always trigger audit_row_change;
alter table admin.signature enable always trigger audit_row_change;

comment on trigger audit_row_change on admin.approval is 'Appends approval.* events to the trail.';
comment on trigger audit_row_change on admin.signature is 'Appends signature.added to the trail.';
