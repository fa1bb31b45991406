-- ---------------------------------------------------------------------------
-- The bookkeeping tables of the extension.
-- ---------------------------------------------------------------------------

create function admin_internal.bookkeeping()
returns trigger
as 'MODULE_PATHNAME', 'admin_bookkeeping'
language c;

comment on function admin_internal.bookkeeping() is
'Trigger of the extension''s bookkeeping tables. Notes rows that a dump brings, which mark the store as loaded. Appends row.inserted, row.updated, row.deleted or row.truncated for a change that the extension''s own code does not make.';

-- Also for the tables of an extension that builds on this one.
create function admin_internal.attach_bookkeeping(relation regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('create trigger bookkeeping after insert or update or delete on %s for each row execute function admin_internal.bookkeeping()', relation);
    execute format('create trigger bookkeeping_truncate after truncate on %s for each statement execute function admin_internal.bookkeeping()', relation);
    execute format('alter table %s enable always trigger bookkeeping, enable always trigger bookkeeping_truncate', relation);
    execute format('comment on trigger bookkeeping on %s is %L', relation, 'Notes the rows of a dump, and changes by hand.');
    execute format('comment on trigger bookkeeping_truncate on %s is %L', relation, 'Appends row.truncated to the trail.');
end
$$;

comment on function admin_internal.attach_bookkeeping(regclass) is
'Creates the triggers of admin_internal.bookkeeping() on a table. For the script of an extension.';
