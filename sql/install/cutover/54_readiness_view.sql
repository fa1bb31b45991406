-- ---------------------------------------------------------------------------
-- The view.
-- ---------------------------------------------------------------------------

create function admin_internal.readiness_items()
returns table (item text, area text, title text)
as 'MODULE_PATHNAME', 'admin_readiness_items'
language c immutable;

comment on function admin_internal.readiness_items() is 'The items of admin.cutover_readiness; fixtures/cutover_readiness_notes.json tells the owner, evidence and rollback step of each.';

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
'What the function of each item says. admin_internal.cutover_readiness_rows() adds what differs from the shipped objects.';

create function admin_internal.cutover_readiness_rows()
returns table (item text, area text, title text, status text, detail text)
as 'MODULE_PATHNAME', 'admin_cutover_readiness_rows'
language c stable security definer
set search_path = pg_catalog, pg_temp;

comment on function admin_internal.cutover_readiness_rows() is 'What admin.cutover_readiness shows.';

create view admin.cutover_readiness as select * from admin_internal.cutover_readiness_rows();

comment on view admin.cutover_readiness is
'Is this database ready to take over from the file-backed store? 28 rows, each computed from the live database at the moment it is asked.';
comment on column admin.cutover_readiness.item is 'A1 to F4.';
comment on column admin.cutover_readiness.area is 'schema (A), store (B), TTL (C), audit (D), FF (E) or signers (F).';
comment on column admin.cutover_readiness.title is 'What has to hold.';
comment on column admin.cutover_readiness.status is 'pass; fail; or not_configured, where there is nothing to look at and somebody has to say whether that is meant.';
comment on column admin.cutover_readiness.detail is 'What was seen; for a failure, what is wrong.';
