-- ---------------------------------------------------------------------------
-- The tables that the extension keeps its books in.
-- ---------------------------------------------------------------------------

create function admin_internal.bookkeeping()
returns trigger
as 'MODULE_PATHNAME', 'admin_bookkeeping'
language c;

comment on function admin_internal.bookkeeping() is
'Trigger of the tables that the extension keeps its books in. Notes the rows of a dump, which mark the store as loaded. Appends row.inserted, row.updated, row.deleted or row.truncated for a change that the extension''s own code does not make.';

do $$
declare
    relation text;
begin
    foreach relation in array array['store', 'tick', 'sink_position', 'sink_skipped', 'dead_letter', 'dead_letter_retry', 'jwt_used', 'ingest_source',
                                    'ingest_gap', 'audit_dropped', 'import_run', 'parity_run', 'shadow_check', 'shadow_settled', 'sweep_due']
    loop
        execute format('create trigger bookkeeping after insert or update or delete on admin.%I for each row execute function admin_internal.bookkeeping()', relation);
        execute format('create trigger bookkeeping_truncate after truncate on admin.%I for each statement execute function admin_internal.bookkeeping()', relation);
        execute format('alter table admin.%I enable always trigger bookkeeping, enable always trigger bookkeeping_truncate', relation);
        execute format('comment on trigger bookkeeping on admin.%I is %L', relation, 'Notes the rows of a dump, and changes by hand.');
        execute format('comment on trigger bookkeeping_truncate on admin.%I is %L', relation, 'Appends row.truncated to the trail.');
    end loop;
end
$$;
