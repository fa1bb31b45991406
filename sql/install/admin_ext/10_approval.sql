-- admin_ext 1.0: joined from sql/install/admin_ext/*.sql by make; do not edit the joined file.
\echo Use "CREATE EXTENSION admin_ext" to load this file. \quit

-- The search path does not contain the schema, so every name in the script is qualified.
set local search_path = pg_catalog, pg_temp;

-- Documents are UTF-8, so PostgreSQL must be able to convert the database's encoding.
do $$
begin
    if exists (select from pg_database as d where d.datname = current_database() and pg_encoding_to_char(d.encoding) not in ('UTF8', 'SQL_ASCII')
               and not exists (select from pg_conversion as c where c.conforencoding = d.encoding and pg_encoding_to_char(c.contoencoding) = 'UTF8' and c.condefault)) then
        raise exception 'the encoding of database "%" is not supported', current_database()
            using errcode = '0A000', detail = format('PostgreSQL has no conversion from %s to UTF8, which the trail is delivered in.', getdatabaseencoding()),
                  hint = 'Create the extension in a database of another encoding, UTF8 for example.';
    end if;
end
$$;

-- An existing schema must belong to a superuser and be empty: others could replace or add objects in it.
do $$
begin
    if not (select r.rolsuper from pg_namespace as n join pg_roles as r on r.oid = n.nspowner where n.nspname = 'admin') then
        raise exception 'schema "admin" belongs to a role that is no superuser'
            using errcode = '55000', detail = 'Its owner could replace what guards approvals and their trail.',
                  hint = 'Give the schema to a superuser, or drop it. CREATE EXTENSION creates it.';
    end if;
    if exists (select from pg_depend where refclassid = 'pg_namespace'::regclass and refobjid = 'admin'::regnamespace
               and classid <> 'pg_extension'::regclass) then
        raise exception 'schema "admin" is not empty'
            using errcode = '55000', detail = 'Its objects could be taken for parts of the extension.',
                  hint = 'Drop the schema. CREATE EXTENSION creates it.';
    end if;
end
$$;

-- Helpers that users do not call.  At first only the owner of the extension has USAGE on this schema.
create schema admin_internal;
comment on schema admin_internal is 'Helpers of the extension admin_ext. Users do not call them, and every version may change them.';

comment on schema admin is 'Approvals of sensitive actions, decisions on them, and the trail of both (extension admin_ext).';

-- ---------------------------------------------------------------------------
-- Approvals and their signatures.
-- ---------------------------------------------------------------------------

create function admin.ttl_state(state text, closed_at timestamptz, sla_deadline timestamptz, at timestamptz)
returns text
as 'MODULE_PATHNAME', 'admin_ttl_state'
language c immutable parallel safe;

comment on function admin.ttl_state(text, timestamptz, timestamptz, timestamptz) is
'Returns what the deadline of an approval means at the instant "at". valid: signed in full, before the deadline. expired: from the deadline up to and including 24 hours after it. stale: later. not-applicable: the approval is withdrawn or closed. Also not-applicable before the deadline while the approval is not signed in full. Returns null if the deadline or the instant is null and the approval is not closed.';

-- Ids compare byte by byte.  This is faster than a locale's order, and an upgrade of the locale's library
-- cannot change the order of the index.
create table admin.approval (
    approval_id           text collate "C" primary key,
    action                text        not null,
    resource              text,
    required_roles        text[]      not null,
    required_signer_count smallint    not null,
    requested_by          text        not null,
    state                 text        not null default 'pending',
    sla_deadline          timestamptz not null,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    closed_at             timestamptz,
    closed_by             text,
    close_reason          text,
    constraint approval_id_grammar
        check (octet_length(approval_id) <= 64 and approval_id ~ '^APP-[0-9]{6}-[a-z0-9]+$'),
    constraint approval_action_length
        check (octet_length(action) between 1 and 256),
    constraint approval_resource_length
        check (octet_length(resource) between 1 and 2048),
    constraint approval_required_signer_count
        check (required_signer_count between 1 and 8
               and required_signer_count = cardinality(required_roles)),
    constraint approval_requested_by_length
        check (octet_length(requested_by) between 1 and 256),
    constraint approval_state
        check (state in ('pending', 'signed_partial', 'signed_full', 'withdrawn')),
    constraint approval_sla_deadline_finite
        check (isfinite(sla_deadline)),
    constraint approval_closed_if_withdrawn
        check ((closed_at is not null) = (state = 'withdrawn')),
    constraint approval_closed_at_finite
        check (isfinite(closed_at)),
    constraint approval_closed_by_length
        check (octet_length(closed_by) between 1 and 256),
    constraint approval_close_reason_length
        check (octet_length(close_reason) <= 4096)
);

comment on table admin.approval is
'Permission to perform one sensitive action. People in named roles give it by signing, and it is valid until a deadline. The trigger approval_guard enforces the state machine: pending, signed_partial, signed_full, withdrawn.';
comment on column admin.approval.approval_id is 'Grammar ^APP-[0-9]{6}-[a-z0-9]+$, at most 64 bytes.';
comment on column admin.approval.action is 'The sensitive action that is approved; 1 to 256 bytes. It has no control characters, because it is shown on one line. The same rule applies to resource, roles and persons.';
comment on column admin.approval.resource is 'What the action is performed on; 1 to 2048 bytes. Null means any resource.';
comment on column admin.approval.required_roles is 'The roles that must sign: 1 to 8 distinct roles of 1 to 128 bytes each.';
comment on column admin.approval.required_signer_count is 'The number of elements in required_roles.';
comment on column admin.approval.requested_by is 'The person who asked for the approval and therefore cannot sign it; 1 to 256 bytes.';
comment on column admin.approval.state is 'pending, signed_partial, signed_full or withdrawn. The signature rows determine the state; withdrawn is final.';
comment on column admin.approval.sla_deadline is 'From this instant on the approval is no longer valid; finite.';
comment on column admin.approval.created_at is 'When the approval was issued; never changes.';
comment on column admin.approval.updated_at is 'Start of the transaction that last changed the row; approval_guard maintains it.';
comment on column admin.approval.closed_at is 'When the approval was withdrawn. It is set if and only if state is withdrawn, and never changes afterwards.';
comment on column admin.approval.closed_by is 'Who withdrew the approval; 1 to 256 bytes.';
comment on column admin.approval.close_reason is 'Why the approval was withdrawn; at most 4096 bytes.';

create table admin.signature (
    signature_id    bigint generated always as identity primary key,
    approval_id     text collate "C" not null references admin.approval,
    signer_role     text        not null,
    signer          text        not null,
    signed_at       timestamptz not null default clock_timestamp(),
    approval_digest bytea       not null,
    token_issuer    text,
    token_key_id    text,
    token_id        text,
    token_sha256    bytea,
    comment         text,
    -- The index includes the columns that a check reads, so that an index-only scan is possible.
    constraint signature_one_per_role unique (approval_id, signer_role) include (signature_id, signer, approval_digest),
    constraint signature_one_per_person unique (approval_id, signer),
    constraint signature_signer_role_length check (octet_length(signer_role) between 1 and 128),
    constraint signature_signer_length check (octet_length(signer) between 1 and 256),
    constraint signature_signed_at_finite check (isfinite(signed_at)),
    constraint signature_approval_digest_length check (octet_length(approval_digest) = 32),
    constraint signature_token_sha256_length check (octet_length(token_sha256) = 32),
    constraint signature_comment_length check (octet_length(comment) <= 4096)
);

comment on table admin.signature is
'One row for each signature: one person, in one role, signs one approval. Rows can only be inserted. Each insert moves the state of the approval forward.';
comment on column admin.signature.signature_id is 'Generated number of the signature; primary key.';
comment on column admin.signature.approval_id is 'The approval that is signed.';
comment on column admin.signature.signer_role is 'The role of the signer, one of the required_roles of the approval. Each role can sign once.';
comment on column admin.signature.signer is 'Who signed; 1 to 256 bytes. Each person can sign an approval once, and the requester cannot sign it.';
comment on column admin.signature.signed_at is 'When it was signed.';
comment on column admin.signature.approval_digest is 'SHA-256 of what was signed: the value of admin.approval_digest(approval_id) at that moment. A null is replaced by this value; another value is refused.';
comment on column admin.signature.token_issuer is 'Claim iss of the token that proved who signed (RFC 7519, section 4.1.1). Null if no token was verified.';
comment on column admin.signature.token_key_id is 'Header kid of that token (RFC 7515, section 4.1.4).';
comment on column admin.signature.token_id is 'Claim jti of that token (RFC 7519, section 4.1.7).';
comment on column admin.signature.token_sha256 is 'SHA-256 of that token. The token itself is never stored.';
comment on column admin.signature.comment is 'The comment of the signer; at most 4096 bytes.';

create view admin.approval_ttl_state as
select approval_id,
       state,
       sla_deadline,
       ttl.ttl_state,
       case when ttl.ttl_state = 'valid' then sla_deadline end as valid_until,
       statement_timestamp() as evaluated_at
from admin.approval,
     lateral (select admin.ttl_state(state, closed_at, sla_deadline, statement_timestamp())) as ttl(ttl_state);

comment on view admin.approval_ttl_state is
'Every approval with the meaning of its deadline at the start of the statement; see admin.ttl_state().';
comment on column admin.approval_ttl_state.approval_id is 'As in admin.approval.';
comment on column admin.approval_ttl_state.state is 'As in admin.approval.';
comment on column admin.approval_ttl_state.sla_deadline is 'As in admin.approval.';
comment on column admin.approval_ttl_state.ttl_state is 'Result of admin.ttl_state() at evaluated_at.';
comment on column admin.approval_ttl_state.valid_until is 'sla_deadline if ttl_state is valid, otherwise null.';
comment on column admin.approval_ttl_state.evaluated_at is 'The instant that ttl_state applies to: statement_timestamp().';

create function admin.approval_digest(approval_id text)
returns bytea
as 'MODULE_PATHNAME', 'admin_approval_digest'
language c stable strict parallel safe;

comment on function admin.approval_digest(text) is
'Returns the SHA-256 of what a signer signs: approval_id, action, resource, the number of required_roles and each of them, requested_by, sla_deadline (RFC 3339, UTC, microseconds). Each value is encoded as a four-byte big-endian length and its UTF-8 bytes; a null is encoded as the length ffffffff. Returns null if the approval does not exist.';

-- The guard.  Its triggers are ENABLE ALWAYS, so session_replication_role cannot switch them off.
create function admin.approval_guard()
returns trigger
as 'MODULE_PATHNAME', 'admin_approval_guard'
language c;

comment on function admin.approval_guard() is
'Trigger of admin.approval: enforces the state machine, and refuses changes of columns that are final after signing or closing. Raises 55000 for an illegal transition or a change of a withdrawn approval, 23001 for DELETE, TRUNCATE and the change of an immutable column, 23514 for a malformed row.';

create function admin.signature_guard()
returns trigger
as 'MODULE_PATHNAME', 'admin_signature_guard'
language c;

comment on function admin.signature_guard() is
'Trigger of admin.signature: locks the approval, checks role, person and digest, and moves the state of the approval forward. Raises P0002 if the approval does not exist, 55000 if it is closed, and 42501 if the signer is the requester. Raises 22023 if the approval does not require the role or has another digest, 23514 if the name of the signer has a control character, and 23001 for any change of a signature.';

create trigger approval_guard
before insert or update or delete on admin.approval
for each row execute function admin.approval_guard();

create trigger approval_guard_truncate
before truncate on admin.approval
for each statement execute function admin.approval_guard();

create trigger signature_guard
before insert or update or delete on admin.signature
for each row execute function admin.signature_guard();

create trigger signature_guard_truncate
before truncate on admin.signature
for each statement execute function admin.signature_guard();

-- Its name makes it fire after audit_row_change: the trail gets signature.added before the change of state.
create trigger signature_guard_advance
after insert on admin.signature
for each row execute function admin.signature_guard();

alter table admin.approval enable always trigger approval_guard;
alter table admin.approval enable always trigger approval_guard_truncate;
alter table admin.signature enable always trigger signature_guard;
alter table admin.signature enable always trigger signature_guard_truncate;
alter table admin.signature enable always trigger signature_guard_advance;

comment on sequence admin.signature_signature_id_seq is 'Generates admin.signature.signature_id.';
comment on index admin.signature_one_per_role is 'A check reads the signatures of an approval from this index. It does not read the table where the table''s page is all-visible.';
comment on trigger approval_guard on admin.approval is 'Enforces the state machine. Fires last of the BEFORE row triggers, for every value of session_replication_role.';
comment on trigger approval_guard_truncate on admin.approval is 'Refuses TRUNCATE.';
comment on trigger signature_guard on admin.signature is 'Compares a signature with its approval. Fires last of the BEFORE row triggers, for every value of session_replication_role.';
comment on trigger signature_guard_truncate on admin.signature is 'Refuses TRUNCATE.';
comment on trigger signature_guard_advance on admin.signature is 'Moves the state of the approval forward.';
