-- What a superuser may try without disabling a trigger, and what a user may prepare for one.
\set VERBOSITY terse
set client_min_messages = warning;
set intervalstyle = postgres;

-- A schema that another role has prepared is not taken.  (An earlier test left an empty one.)
drop schema if exists admin;
create role regress_evil;
create schema admin authorization regress_evil;
create extension admin_ext;
alter schema admin owner to current_user;
create function admin.format(text, text) returns text language sql return 'bent';
create extension admin_ext;
drop schema admin cascade;
drop role regress_evil;
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
set client_min_messages = warning;
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
select 'APP-00000' || n || '-bend', 'pay', '{x,y,z}', 3, 'boss', '2040-01-01' from generate_series(1, 4) as n;

-- Numbers out of order leave no approval stuck, and one command goes through every state.
insert into admin.signature (signature_id, approval_id, signer_role, signer) overriding system value
values (1000, 'APP-000001-bend', 'x', 'ann'), (900, 'APP-000001-bend', 'y', 'bob'), (800, 'APP-000001-bend', 'z', 'eve');
insert into admin.signature (approval_id, signer_role, signer)
values ('APP-000002-bend', 'x', 'ann'), ('APP-000002-bend', 'y', 'bob'), ('APP-000002-bend', 'z', 'eve');
select a.approval_id, state, admin.sensitive_check_preview(a.approval_id, at => '2030-01-01') ->> 'decision' as decision,
       (select string_agg(event_type || ' ' || actor, ', ' order by audit_id) from admin.audit as t where t.approval_id = a.approval_id) as trail
from admin.approval as a where a.approval_id in ('APP-000001-bend', 'APP-000002-bend') order by 1;

-- While a dump is loaded rows are added as they are; nothing else is let through.
set admin_ext.restoring = on;
delete from admin.approval;
update admin.signature set signer = 'mallory';
truncate admin.approval cascade;
update admin.approval set state = 'signed_full' where approval_id = 'APP-000003-bend';
update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'ann' where approval_id = 'APP-000003-bend';
reset admin_ext.restoring;
select event_type, actor from admin.audit where approval_id = 'APP-000003-bend' order by audit_id;

-- The mark of a load outlives a savepoint that does not.
select adopted_at is not null as adopted from admin.store;
set admin_ext.restoring = on;
begin;
savepoint a;
insert into admin.audit (xid, event_type, payload) values ('5', 'loaded', '{}');
rollback to a;
insert into admin.audit (xid, event_type, payload) values ('5', 'loaded', '{}');
select adopted_at is not null as adopted from admin.store;
rollback;
reset admin_ext.restoring;

-- A trigger of one's own does not come after the guard.
create function bend() returns trigger language plpgsql as $$ begin new.state := 'signed_full'; return new; end $$;
create trigger zzz before update on admin.approval for each row execute function bend();
update admin.approval set resource = 'r' where approval_id = 'APP-000004-bend';
alter trigger zzz on admin.approval rename to aaa;
update admin.approval set resource = 'r' where approval_id = 'APP-000004-bend';
drop trigger aaa on admin.approval;
create or replace function bend() returns trigger language plpgsql as $$ begin new.xid := '1'; return new; end $$;
create trigger zzz before insert on admin.audit for each row execute function bend();
begin;
create trigger zzz before insert on admin.audit for each row execute function bend();
set local admin_ext.restoring = on;
insert into admin.audit (event_type, payload) values ('x', '{}');
rollback;
drop function bend;

-- Nobody writes to the trail by hand; its instants are finite in a dump, too.
insert into admin.audit (audit_id, event_type, payload) overriding system value values (1000000, 'x', '{}');
insert into admin.audit_default (audit_id, event_type, payload) overriding system value values (-1, 'x', '{}');
insert into admin.audit (event_type, payload) select 'mine', '{}' from generate_series(1, 3);
copy admin.audit (event_type, payload) from stdin;
mine	{}
\.
select count(*) from admin.audit where event_type = 'mine';
set admin_ext.restoring = on;
insert into admin.audit (recorded_at, event_type, payload) values ('infinity', 'x', '{}');
insert into admin.audit (occurred_at, event_type, payload) values ('-infinity', 'x', '{}');
reset admin_ext.restoring;

-- The triggers are for their own tables, with their own columns.
create table other (a int, b int, c int, d int, e int, f int, g int, h int);
create trigger t before insert on other for each row execute function admin.approval_guard();
insert into other values (1);
drop trigger t on other;
create trigger t before insert on other for each row execute function admin.audit_append_only();
insert into other values (1);
drop table other;
begin;
alter table admin.approval add column a int, add column b int, add column c int;
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
values ('APP-000005-bend', 'pay', '{x}', 1, 'boss', '2040-01-01');
rollback;
begin;
alter table admin.signature add column a int, add column b int, add column c int;
insert into admin.signature (approval_id, signer_role, signer) values ('APP-000004-bend', 'x', 'ann');
rollback;
begin;
alter table admin.audit add column extra text;
select admin.sensitive_check('APP-000004-bend');
rollback;
begin;
create foreign data wrapper regress_nowhere;
create server regress_nowhere foreign data wrapper regress_nowhere;
create foreign table elsewhere (audit_id bigint not null, xid xid8 not null, recorded_at timestamptz not null, occurred_at timestamptz not null,
    event_type text not null, approval_id text collate "C", actor text, source text not null, source_event_id text, request_id text, traceparent text,
    payload json not null, constraint audit_recorded_at_finite check (isfinite(recorded_at)),
    constraint audit_occurred_at_finite check (isfinite(occurred_at))) server regress_nowhere;
alter table admin.audit detach partition admin.audit_default;
alter table admin.audit attach partition elsewhere default;
select admin.sensitive_check('APP-000004-bend');
rollback;

-- Bounds of months do not depend on how a session writes instants.
set timezone = 'Asia/Shanghai';
set datestyle = 'SQL, MDY';
select admin.create_audit_partitions(14);
select bool_and(p.upper_bound = lead) as without_gaps, count(*) from
    (select upper_bound, lead(lower_bound) over (order by lower_bound) as lead from admin.audit_partitions() where not is_default) as p where lead is not null;
select count(*) as not_at_midnight_utc from admin.audit_partitions() where not is_default and date_trunc('month', lower_bound at time zone 'UTC') <> lower_bound at time zone 'UTC';
reset timezone;
reset datestyle;

-- A document is compared in all it says, reads the same in every session, and bears no blame for the server.
\set doc '[{"approval_id": "APP-000009-doc", "action": "a", "requested_by": "r", "required_roles": ["x"], "state": "withdrawn", "sla_deadline": "2040-01-01 00:00:00", "created_at": "2026-01-01T00:00:00Z", "closed_at": "2026-01-02T00:00:00+01:00", "closed_by": "c", "close_reason": "why", "signatures": [{"signer_role": "x", "signer": "s", "comment": "yes"}]}]'
select admin.import_approvals(:'doc');
set timezone = 'Asia/Tokyo';
select admin.import_approvals(:'doc');
reset timezone;
select change, admin.import_approvals(jsonb_set(:'doc', path::text[], value::jsonb)) #>> '{rejected,0,error}' as error
from (values ('signer', '{0,signatures,0,signer}', '"other"'), ('comment', '{0,signatures,0,comment}', '"no"'), ('no signature', '{0,signatures}', '[]'),
             ('not an object', '{0,signatures}', '[17]'), ('count', '{0,required_signer_count}', '7'), ('closed_by', '{0,closed_by}', '"d"'),
             ('closed_at', '{0,closed_at}', '"2026-01-03T00:00:00Z"'), ('created_at', '{0,created_at}', '"2026-01-03T00:00:00Z"'),
             ('close_reason', '{0,close_reason}', 'null'), ('deadline', '{0,sla_deadline}', '"now"'), ('infinite', '{0,created_at}', '"infinity"'),
             ('long', '{0,action}', to_json(repeat('a', 257))::text), ('both', '{0,sla_deadline_offset}', '"1 day"')) as c(change, path, value);
begin read only;
select admin.import_approvals('[{"approval_id": "APP-000010-doc", "action": "a", "requested_by": "r", "required_roles": ["x"], "sla_deadline": "2040-01-01T00:00:00Z"}]');
rollback;

-- A column of another type, and an index of another table, are refused where C reads by number.
create function pg_temp.bent(variadic statements text[]) returns text language plpgsql as $$
declare
    one    text;
    state  text;
    reason text;
    detail text;
begin
    begin
        foreach one in array statements loop
            execute one;
        end loop;
        raise exception 'nothing was refused' using errcode = 'P0001';
    exception when others then
        get stacked diagnostics state = returned_sqlstate, reason = message_text, detail = pg_exception_detail;
        return concat_ws(' ', state, reason || '.', detail);
    end;
end
$$;
begin;
insert into admin.jwt_issuer (issuer, audience) values ('https://idp', 'aud');
insert into admin.jwt_key (issuer, kid, alg, jwk) values ('https://idp', 'k', 'RS256', '{"kty": "RSA"}');
insert into admin.jwt_one_use (issuer) values ('https://idp');
select admin.set_action_policy('pay', '{x}');
\set token '''eyJhbGciOiJSUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lkcCIsImF1ZCI6ImF1ZCIsInN1YiI6ImJvYiIsImV4cCI6OTk5OTk5OTk5OX0.AAAA'''
\set verify 'format(''select admin.jwt_verify(%L)'', ' :token ')'
\set check '''select admin.sensitive_check(''''APP-000004-bend'''', ''''pay'''')'''
\set issue '''insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values (''''APP-000006-bend'''', ''''pay'''', ''''{x}'''', 1, ''''boss'''', ''''2040-01-01'''')'''
select pg_temp.bent('alter table admin.jwt_key alter column jwk type text using E''\x7f\x7f\x7f '' || repeat(''A'', 40)', :verify) as jwk;
select pg_temp.bent('alter table admin.jwt_issuer drop constraint jwt_issuer_audience_length',
                    'alter table admin.jwt_issuer alter column audience type int using 5', :verify) as audience;
select pg_temp.bent('alter table admin.jwt_issuer drop column subject_claim', :verify) as subject_claim;
select pg_temp.bent('alter table admin.jwt_key drop constraint jwt_key_pkey', 'create index jwt_key_pkey on admin.jwt_key using hash (issuer)', :verify) as hash;
select pg_temp.bent('alter table admin.jwt_key drop constraint jwt_key_pkey', 'create index jwt_key_pkey on admin.jwt_key (issuer, kid text_pattern_ops)', :verify) as operators;
select pg_temp.bent('alter table admin.jwt_key drop constraint jwt_key_pkey', 'create index jwt_key_pkey on admin.jwt_key (issuer collate "default", kid)', :verify) as collation;
select pg_temp.bent('alter table admin.jwt_key drop constraint jwt_key_pkey', 'create index jwt_key_pkey on admin.audit_attributes (audit_id)', :verify) as other_table;
select pg_temp.bent('alter table admin.jwt_key drop constraint jwt_key_pkey', 'create index jwt_key_pkey on admin.jwt_key (issuer, kid) where revoked_at is null', :verify) as predicate;
select pg_temp.bent('alter table admin.jwt_issuer add column more int', :verify) as more_columns_are_read_over;
select pg_temp.bent('alter table admin.action_policy drop constraint action_policy_required_roles', 'alter table admin.action_policy alter column required_roles type int using 5', :issue) as required_roles;
select pg_temp.bent('alter table admin.action_policy drop constraint action_policy_pkey', 'create index action_policy_pkey on admin.action_policy (added_at)', :issue) as policy_key;
select pg_temp.bent(format('alter table admin.%I alter column %I drop not null', table_name, column_name), format('update admin.%I set %I = null', table_name, column_name),
                    case when table_name = 'action_policy' then :issue else :verify end) as a_null
from (values ('jwt_issuer', 'audience'), ('jwt_key', 'jwk'), ('jwt_key', 'alg'), ('action_policy', 'required_roles')) as c(table_name, column_name);
-- Another table under the name of ours, or a view.
set local client_min_messages = error;
select column_name, pg_temp.bent(
    'alter table admin.approval rename to approval_was', 'alter index admin.approval_pkey rename to approval_was_pkey',
    'create table admin.approval (like admin.approval_was including defaults)', 'create unique index approval_pkey on admin.approval (approval_id)',
    format('alter table admin.approval alter column %I type %s', column_name, type), :check)
from (values ('requested_by', 'bigint using 5'), ('required_roles', 'bigint using 5'), ('approval_id', 'varchar'), ('closed_at', 'text')) as c(column_name, type);
select pg_temp.bent(
    'alter table admin.signature rename to signature_was', 'alter index admin.signature_one_per_role rename to signature_was_per_role',
    'create table admin.signature (like admin.signature_was)', 'alter table admin.signature alter column signer type bigint using 5',
    'create unique index signature_one_per_role on admin.signature (approval_id, signer_role) include (signature_id, signer, approval_digest)', :check) as signature;
select pg_temp.bent('alter table admin.jwt_issuer rename to jwt_issuer_was', 'create view admin.jwt_issuer as select * from admin.jwt_issuer_was', :verify) as view;
select pg_temp.bent('alter table admin.signature drop constraint signature_one_per_role', 'create index signature_one_per_role on admin.signature (approval_id, signer_role)', :check) as signature_key;
select pg_temp.bent('alter table admin.approval drop constraint approval_pkey cascade', 'create index approval_pkey on admin.approval (action)', :check) as approval_key;
rollback;

-- Partitions of an audited table; tables of others.
create table parted (id int) partition by range (id);
create table parted_1 partition of parted for values from (0) to (10);
select admin.attach_audit('parted');
select admin.attach_audit('parted_1');
insert into parted values (1);
truncate parted_1;
select event_type, payload ->> 'relation' as relation from admin.audit where event_type like 'row.%' order by audit_id;
select admin.detach_audit('parted');
truncate parted_1;
select count(*) from admin.audit where event_type like 'row.%';
create role regress_operator;
select admin.grant_access('regress_operator', 'operator');
create table regress_own (secret text);
alter table regress_own owner to regress_operator;
set role regress_operator;
select admin.attach_audit('parted');
select admin.attach_audit('regress_own');
insert into regress_own values ('mine');
select admin.detach_audit('regress_own');
reset role;
select payload ->> 'row' as row, actor = session_user as by_session_user from admin.audit where event_type = 'row.inserted' order by audit_id desc limit 1;
drop table parted, regress_own;
drop owned by regress_operator;
drop role regress_operator;
select admin.grant_access(0::oid::regrole, 'checker');
drop extension admin_ext_cutover;
drop extension admin_ext;
