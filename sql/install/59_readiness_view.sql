-- ---------------------------------------------------------------------------
-- The view.
-- ---------------------------------------------------------------------------

create function admin.readiness_items()
returns table (item text, area text, title text)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    values ('A1', 'schema', 'tables are as described'),
           ('A2', 'schema', 'views are as described'),
           ('A3', 'schema', 'audit trail is partitioned, indexed and append-only'),
           ('A4', 'schema', 'version is the installed one, and nothing was slipped in'),
           ('A5', 'schema', 'triggers are enabled'),
           ('B1', 'store', 'import is complete'),
           ('B2', 'store', 'parity is clean'),
           ('B3', 'store', 'counts are consistent'),
           ('B4', 'store', 'digests match'),
           ('C1', 'TTL', 'view and check agree on every approval'),
           ('C2', 'TTL', 'nothing past its deadline is valid'),
           ('C3', 'TTL', 'boundaries of deadlines hold'),
           ('C4', 'TTL', 'sweep is alive'),
           ('D1', 'audit', 'workers are alive'),
           ('D2', 'audit', 'topic takes the trail'),
           ('D3', 'audit', 'schema is registered'),
           ('D4', 'audit', 'delivery keeps up'),
           ('D5', 'audit', 'there are no dead letters'),
           ('D6', 'audit', 'archive is written'),
           ('E1', 'FF', 'checker role can check, and nothing more'),
           ('E2', 'FF', 'calls are seen'),
           ('E3', 'FF', 'p99 is within the budget'),
           ('E4', 'FF', 'Redis publisher is alive'),
           ('E5', 'FF', 'ingest has no gaps'),
           ('F1', 'signers', 'issuers and keys are there'),
           ('F2', 'signers', 'tokens are required'),
           ('F3', 'signers', 'separation of duties holds'),
           ('F4', 'signers', 'withdrawals are terminal');
end;

comment on function admin.readiness_items() is 'The items of admin.cutover_readiness; fixtures/cutover_readiness_notes.json tells the owner, evidence and rollback step of each.';

do $$
begin
    execute (select string_agg(format('comment on function admin.readiness_%s(jsonb) is %L', lower(i.item), format('Item %s of admin.cutover_readiness: %s.', i.item, i.title)), '; ')
             from admin.readiness_items() as i);
end
$$;

create function admin.cutover_readiness_rows()
returns table (item text, area text, title text, status text, detail text)
language plpgsql stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
as $$
#variable_conflict use_column
declare
    findings jsonb := admin.find_in_store();
begin
    for item, area, title in select i.item, i.area, i.title from admin.readiness_items() as i loop
        begin
            execute format('select r.status, r.detail from admin.readiness_%s($1) as r', lower(item)) into strict status, detail using findings;
        exception when others then
            status := 'fail';
            detail := 'could not be looked at: ' || sqlerrm;
        end;
        return next;
    end loop;
end
$$;

comment on function admin.cutover_readiness_rows() is 'What admin.cutover_readiness shows.';

create view admin.cutover_readiness as select * from admin.cutover_readiness_rows();

comment on view admin.cutover_readiness is
'Is this database ready to take over from the file-backed store? 28 rows, each computed from the live database at the moment it is asked.';
comment on column admin.cutover_readiness.item is 'A1 to F4.';
comment on column admin.cutover_readiness.area is 'schema (A), store (B), TTL (C), audit (D), FF (E) or signers (F).';
comment on column admin.cutover_readiness.title is 'What has to hold.';
comment on column admin.cutover_readiness.status is 'pass; fail; or not_configured, where there is nothing to look at and somebody has to say whether that is meant.';
comment on column admin.cutover_readiness.detail is 'What was seen; for a failure, what is wrong.';
