-- ---------------------------------------------------------------------------
-- The view admin.cutover_readiness.
-- ---------------------------------------------------------------------------

create function admin_internal.readiness_items()
returns table (item text, area text, title text)
as 'MODULE_PATHNAME', 'admin_readiness_items'
language c immutable;

comment on function admin_internal.readiness_items() is
'The items of admin.cutover_readiness. fixtures/cutover_readiness_notes.json has the owner, evidence and rollback step of each.';

do $$
begin
    execute (select string_agg(format('comment on function admin_internal.readiness_%s(jsonb) is %L', lower(i.item), format('Item %s of admin.cutover_readiness: %s.', i.item, i.title)), '; ')
             from admin_internal.readiness_items() as i);
end
$$;

create function admin_internal.readiness_looked_at()
returns table (item text, status text, detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    findings jsonb := admin_internal.find_in_store();
begin
    for item in select i.item from admin_internal.readiness_items() as i loop
        begin
            execute format('select r.status, r.detail from admin_internal.readiness_%s($1) as r', lower(item)) into strict status, detail using findings;
        exception when others then
            status := 'fail';
            detail := 'could not be looked at: ' || sqlerrm;
        end;
        return next;
    end loop;
end
$$;

comment on function admin_internal.readiness_looked_at() is
'The result of the function of each item. admin_internal.cutover_readiness_rows() adds the differences from the shipped objects.';

create function admin_internal.cutover_readiness_rows()
returns table (item text, area text, title text, status text, detail text)
as 'MODULE_PATHNAME', 'admin_cutover_readiness_rows'
language c stable security definer
set search_path = pg_catalog, pg_temp;

comment on function admin_internal.cutover_readiness_rows() is 'The rows of admin.cutover_readiness.';

create view admin.cutover_readiness as select * from admin_internal.cutover_readiness_rows();

comment on view admin.cutover_readiness is
'Whether this database is ready to take over from the file-backed store: 28 rows. Each query computes them from the live database.';
comment on column admin.cutover_readiness.item is 'Item, A1 to F4.';
comment on column admin.cutover_readiness.area is
'Area: schema (A), store (B), TTL (C), audit (D), FF (E) or signers (F).';
comment on column admin.cutover_readiness.title is 'The requirement.';
comment on column admin.cutover_readiness.status is
'pass, fail or not_configured. not_configured means that there is nothing to check, and an operator has to decide whether this is intended.';
comment on column admin.cutover_readiness.detail is 'What the check found; for fail, what is wrong.';
