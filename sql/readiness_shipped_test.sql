-- Readiness compares every object with what the library ships: what is slipped in is named, whatever readiness itself was replaced by.
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions() > 0 as partitions;
set client_min_messages = warning;
\set SHOW_CONTEXT never
\pset format unaligned
\set look 'select r.item, r.detail from admin.cutover_readiness as r where r.item = any (\'{A1,A2,A3,A4,A5,E1,F2}\') and r.status = \'fail\';'
create role readiness_guest; create role readiness_ff login; select admin.grant_access('readiness_ff', 'checker');
\echo -- A store as it is shipped fails nowhere
:look
\echo -- A function that always answers true
begin; create or replace function admin_internal.requires_tokens() returns boolean language sql stable set search_path = pg_catalog, pg_temp as 'select true'; :look rollback;
\echo -- The verdict of readiness, its items, and its rows
begin; create or replace function admin_internal.readiness_verdict(problems text[], fine text, out status text, out detail text) language sql immutable set search_path = pg_catalog, pg_temp begin atomic select 'pass', fine; end; :look rollback;
begin; create or replace function admin_internal.readiness_a4(findings jsonb, out status text, out detail text) language sql stable set search_path = pg_catalog, pg_temp as $$ select 'pass', 'fine' $$; :look rollback;
begin; create or replace function admin_internal.readiness_looked_at() returns table (item text, status text, detail text) language sql stable set search_path = pg_catalog, pg_temp as $$ select 'A4', 'pass', 'fine' $$; :look rollback;
begin; alter extension admin_ext_cutover drop function admin_internal.readiness_looked_at(); drop function admin_internal.readiness_looked_at(); select r.status, count(*), min(r.detail) from admin.cutover_readiness as r group by r.status; rollback;
\echo -- Another symbol of the library, another library
begin; create or replace function admin.sensitive_check(approval_id text, action text default null, resource text default null, actor text default null, request_id text default null, traceparent text default null, token text default null) returns json as '$libdir/admin_ext', 'admin_sensitive_check_preview' language c; :look rollback;
\echo -- Security, settings, owner, volatility, defaults of arguments
begin; alter function admin.sign_approval security definer set admin_ext.require_verified_jwt = off; :look rollback;
begin; alter function admin.audit_ingest owner to readiness_guest; :look rollback;
begin; alter function admin_internal.cutover_readiness_rows security invoker; :look rollback;
begin; alter function admin.ttl_state volatile; :look rollback;
begin; alter function admin.create_audit_partitions(int) reset search_path; :look rollback;
\echo -- An aggregate by the same name
begin; create or replace aggregate admin_internal.approval_findings(approval_id text, action text, resource text, required_roles text[], required_signer_count smallint, requested_by text, state text, sla_deadline timestamptz, created_at timestamptz, closed_at timestamptz, at timestamptz) (sfunc = admin_internal.findings_add, stype = internal, sspace = 1024, finalfunc = admin_internal.findings_result); :look rollback;
\echo -- What was slipped in
begin; create function admin.slipped_in() returns int language sql return 1; create view admin.slipped_in as select 1 as x; create table admin_internal.slipped_in (x int); create type admin.slipped as enum ('a'); :look rollback;
\echo -- Policies and row security, also of a month
begin; create policy hide on admin.audit for select using (actor <> 'ann'); alter table admin.audit enable row level security; :look rollback;
begin; alter table admin.audit_default force row level security; :look rollback;
\echo -- Rules
begin; create rule hide as on insert to admin.approval where new.action = 'x' do instead nothing; :look rollback;
begin; create rule hide as on update to admin.audit_default do instead nothing; :look rollback;
\echo -- Views: definition, options, owner
begin; create or replace view admin.shadow_difference as select * from admin.shadow_check where false; :look rollback;
begin; alter view admin.audit_delivery set (security_barrier = true); :look rollback;
\echo -- Triggers: gone, added, disabled, of another function, with a condition
begin; alter table admin.signature disable trigger signature_guard; :look rollback;
begin; alter table admin.signature disable trigger all; :look rollback;
begin; alter table admin.jwt_issuer enable trigger audit_row_change; :look rollback;
begin; create trigger zz after insert on admin.approval for each row execute function admin.audit_row_change(); :look rollback;
begin; drop trigger approval_guard on admin.approval; create trigger approval_guard before insert or update or delete on admin.approval for each row when (false) execute function admin.approval_guard(); alter table admin.approval enable always trigger approval_guard; :look rollback;
\echo -- A table of a user that is audited
create table public.readiness_audited (x int); select admin.attach_audit('public.readiness_audited');
:look
begin; alter table public.readiness_audited enable trigger all; :look rollback;
drop table public.readiness_audited;
\echo -- Privileges
begin; grant execute on function admin.resync_sink to public; :look rollback;
begin; grant insert on admin.jwt_key to readiness_guest; grant usage on schema admin_internal to readiness_guest; :look rollback;
\echo -- Settings of the reader change nothing
set quote_all_identifiers = on; set datestyle = 'SQL, DMY'; set intervalstyle = 'iso_8601'; set extra_float_digits = -15; set bytea_output = 'escape'; set transform_null_equals = on;
set standard_conforming_strings = off; set array_nulls = off; set xmloption = document; set search_path = public, admin; set plpgsql.extra_errors = 'all'; set row_security = on; set lc_messages = 'C';
:look
reset all;
\echo -- All is as it was
:look
drop role readiness_guest; drop owned by readiness_ff; drop role readiness_ff;
drop extension admin_ext_cutover;
drop extension admin_ext;
