-- ---------------------------------------------------------------------------
-- The audit trail.
-- ---------------------------------------------------------------------------

-- The parent has no index, and the script creates no month: both would be members of the
-- extension, which pg_dump omits.  A restore would conflict with them, or would have no
-- partition for the rows.  admin.create_audit_partitions() creates months as ordinary tables,
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
'The audit trail: every decision and every change, appended in the transaction that made it. INSERT by hand, UPDATE, DELETE and TRUNCATE are refused for everybody. Only admin.drop_audit_partitions() frees space. A partition needs its indexes and its trigger; admin.create_audit_partitions() adds those that are missing.';
comment on column admin.audit.audit_id is 'Number of the row, ascending. A transaction that rolls back leaves a gap.';
comment on column admin.audit.xid is 'The top-level transaction that wrote the row. Delivery selects rows by this value, so the table accepts no other value.';
comment on column admin.audit.recorded_at is 'When the row was written, by the clock of this server.';
comment on column admin.audit.occurred_at is 'When the event happened. For a check: the instant of its evaluation.';
comment on column admin.audit.event_type is 'Type of the event, for example sensitive.check.2b, approval.*, signature.added, row.* or ingest.*.';
comment on column admin.audit.approval_id is 'The approval that the event is about; null if it is about no approval.';
comment on column admin.audit.actor is 'Who acted, as far as the data say. For a change to another table: the session user.';
comment on column admin.audit.source is 'admin_ext for an event of this database; for an ingested event its CloudEvents source.';
comment on column admin.audit.source_event_id is 'The CloudEvents id of an ingested event; null for an event of this database.';
comment on column admin.audit.request_id is 'The caller''s own identifier of its request.';
comment on column admin.audit.traceparent is 'traceparent of W3C Trace Context, as the caller sent it.';
comment on column admin.audit.payload is 'The data of the event. The type is json, not jsonb, because the text is built once and then stored, delivered and hashed byte for byte.';

create function admin.audit_append_only()
returns trigger
as 'MODULE_PATHNAME', 'admin_audit_append_only'
language c;

comment on function admin.audit_append_only() is
'Trigger of admin.audit and its partitions: refuses INSERT by hand, UPDATE, DELETE and TRUNCATE with 23001. It accepts the rows of a dump while admin_ext.restoring is on.';

create trigger audit_append_only
before insert or update or delete on admin.audit
for each row execute function admin.audit_append_only();

create trigger audit_append_only_statement
before insert or update or delete or truncate on admin.audit
for each statement execute function admin.audit_append_only();

comment on sequence admin.audit_audit_id_seq is 'Generates admin.audit.audit_id. CACHE is 1, so that numbers are assigned in order.';
comment on trigger audit_append_only on admin.audit is 'Refuses INSERT by hand, UPDATE and DELETE.';
comment on trigger audit_append_only_statement on admin.audit is 'Refuses INSERT by hand, UPDATE, DELETE and TRUNCATE, also on a detached month.';

alter table admin.audit enable always trigger audit_append_only;
alter table admin.audit enable always trigger audit_append_only_statement;

-- The indexes that every partition needs: the name used here, how an index is recognised, and the statement that creates it.
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
'Returns the indexes that delivery, ingest, replay and other readers use in a partition of the trail: columns and predicate of each, and the statement that creates it.';

-- Compares catalog entries.  The text of a predicate depends on settings, so the function pins them.
create function admin_internal.partition_has_index(partition regclass, columns text[], is_unique boolean, predicate text)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
-- The body is a string, because a column of pg_collation has another type in PostgreSQL 14.
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
'Returns true if the partition has a valid btree index with these columns in this order, this uniqueness and this predicate.';

-- A trigger of that name with another function, other events or a condition does not guard the partition.
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
'Returns the state of the trigger audit_append_only_statement of a partition of the trail: fine, missing, constraint or other. constraint: a constraint trigger has this name. other: the trigger with this name has another function, other events or a condition.';

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

comment on function admin_internal.audit_partition_lacks(regclass) is 'Returns one row for each index or trigger that a partition of admin.audit needs and does not have.';

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
'Creates the trigger audit_append_only_statement of a partition of admin.audit if it is missing, and replaces another trigger of that name. Sets the append-only triggers of the partition to ENABLE ALWAYS.';

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
'Creates the indexes and the statement trigger that a partition of admin.audit lacks, and sets its append-only triggers to ENABLE ALWAYS.';

create function admin_internal.append_event(event_type text, payload json, approval_id text default null)
returns bigint
as 'MODULE_PATHNAME', 'admin_append_event'
language c volatile;

comment on function admin_internal.append_event(text, json, text) is
'Appends one event about the trail itself and returns its audit_id. The actor is the session user. Raises 22023 if event_type or payload is null, or if another action records this type of event (approval.*, signature.*, sensitive.check*, row.*, ingest.*). Raises 23001 if a superuser calls it for a type that a function of the extension records (access.*, archive.*, dead_letter.*, gap.*, guard.*, partition.*, setting.*, shadow.*, sink.*). The check for 23001 requires admin_ext in shared_preload_libraries.';

-- A view or a log shows a name on one line.  Reasons and comments may have several lines.
create function admin_internal.has_control_character(value text)
returns boolean
as 'MODULE_PATHNAME', 'admin_has_control_character'
language c immutable strict parallel safe;

comment on function admin_internal.has_control_character(text) is
'Returns true if the text has a control character. In a UTF8 database, also returns true for a line or paragraph separator (U+2028, U+2029).';

-- The trail writes years outside 1 to 9999 in the form of ISO 8601: "+294276", "-4712", and "0000", which is 1 BC.
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
'Converts an instant from the form of the trail and of answers to a form that the server can read. The two forms differ for years outside 1 to 9999.';

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
'Returns the row of an approval or a signature, as the trail has it, with instants that json_populate_record() can read.';

create function admin_internal.refuse_while_restoring(function text)
returns void
as 'MODULE_PATHNAME', 'admin_refuse_while_restoring'
language c volatile strict;

comment on function admin_internal.refuse_while_restoring(text) is
'Raises 55000 while admin_ext.restoring is on. "function" is the function name in the message.';

create function admin.audit_row_change()
returns trigger
as 'MODULE_PATHNAME', 'admin_audit_row_change'
language c;

comment on function admin.audit_row_change() is
'Trigger that appends each change to admin.audit: approval.* for admin.approval, signature.added for admin.signature. For other tables, such as those given to admin.attach_audit(), it appends row.inserted, row.updated, row.deleted or row.truncated. Payload: {"op", "changed": {column: [old, new]}, "row"}; for other tables also "relation".';

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
