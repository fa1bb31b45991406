"""Each item of readiness, broken on purpose: the item, the statements that break it, and what its detail says then."""

ID = "APP-100001-ready"
GONE = "APP-100002-gone"
LATE = "APP-100003-late"

ARCHIVED = 1000000000
LINK = (
    "insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain, recorded_at) "
    "select store_id, 'ndjson', {n}, {n}, sha256('{n}'), now() - interval '{age}' from admin.store"
)
RECEIPT = "select admin.record_receipt(admin.store_id(), 'ndjson', {n}, sha256('{chain}'), sha256('seal'), now() + interval '7 years', 's3://bucket/object')"
NO_RECEIPTS = "alter table admin.archive_receipt disable trigger all; delete from admin.archive_receipt"

NO_GUARDS = "alter table admin.approval disable trigger user; alter table admin.signature disable trigger user; "
GUARDS = (
    "; alter table admin.approval enable always trigger approval_guard; alter table admin.approval enable always trigger approval_guard_truncate; "
    "alter table admin.signature enable always trigger signature_guard; alter table admin.signature enable always trigger signature_guard_advance"
)
ORPHAN = (
    "alter table admin.signature disable trigger all; insert into admin.signature (approval_id, signer_role, signer, approval_digest) "
    "values ('APP-999999-none', 'r', 'x', sha256(''))" + GUARDS
)
NO_TRAIL_GUARDS = """alter table admin.audit disable trigger user; do $$ declare p regclass; begin
    for p in select partition from admin.audit_partitions() loop execute format('alter table %s disable trigger all', p); end loop; end $$; """

# What is done by SQL, and undone: item, what, and words of the detail.
BREAKS = [
    ("A1", "alter table admin.dead_letter add column x int", "column admin.dead_letter.x is not part of the extension"),
    (
        "A1",
        "alter table admin.approval drop constraint approval_action_length",
        "constraint admin.approval.approval_action_length is missing",
    ),
    (
        "A1",
        "alter table admin.approval alter column state drop default",
        "column admin.approval.state: default is missing, shipped is 'pending'::text",
    ),
    (
        "A1",
        "alter extension admin_ext drop table admin.jwt_used; drop table admin.jwt_used",
        "table admin.jwt_used is missing",
    ),
    ("A2", "create view admin.slipped_in as select 1 as x", "slipped_in"),
    (
        "A2",
        "alter view admin.audit_delivery rename column sink_status to status",
        "column admin.audit_delivery.sink_status is missing",
    ),
    (
        "A2",
        "create or replace view admin.approval_ttl_state as select approval_id, state, sla_deadline, 'valid'::text as ttl_state, sla_deadline as valid_until, "
        "statement_timestamp() as evaluated_at from admin.approval",
        "view admin.approval_ttl_state: its definition is not as shipped",
    ),
    (
        "A3",
        "do $$ begin execute (select format('drop index %s', indexrelid::regclass) from pg_index join admin.audit_partitions() on indrelid = partition "
        "where is_default and not indisprimary limit 1); end $$",
        "partition admin.audit_default lacks ",
    ),
    (
        "A5",
        "alter table admin.audit_default disable trigger audit_append_only",
        "audit_append_only is not enabled always",
    ),
    (
        "A5",
        "alter table admin.audit disable trigger audit_append_only_statement",
        "trigger admin.audit.audit_append_only_statement: enabled is disabled instead of always",
    ),
    (
        "A3",
        "do $$ begin execute (select format('alter table admin.audit detach partition %s', partition) from admin.audit_partitions() "
        "where lower_bound <= now() and upper_bound > now()); end $$",
        "this month has no partition",
    ),
    ("A4", "update pg_extension set extversion = '0.9' where extname = 'admin_ext'", "version is 0.9 instead of 1.0"),
    (
        "A4",
        "update pg_extension set extversion = '0.9' where extname = 'admin_ext_cutover'",
        "the server has version 1.0 of admin_ext_cutover installed, this database 0.9",
    ),
    (
        "A4",
        "alter extension admin_ext_cutover drop function admin.import_approvals(jsonb); alter extension admin_ext add function admin.import_approvals(jsonb)",
        "function admin.import_approvals(jsonb): lacks member of admin_ext_cutover",
    ),
    (
        "A4",
        "create function admin.slipped_in() returns int language sql return 1",
        "function admin.slipped_in() is not part of the extension",
    ),
    (
        "A4",
        "create or replace function admin.sensitive_check_preview(approval_id text, action text default null, resource text default null, at timestamptz default null) "
        "returns json language sql as 'select null::json'",
        "admin.sensitive_check_preview(text,text,text,timestamp with time zone): its body is not as shipped",
    ),
    (
        "A5",
        "alter table admin.approval disable trigger approval_guard",
        "trigger admin.approval.approval_guard: enabled is disabled instead of always",
    ),
    (
        "A5",
        "alter table admin.signature enable trigger audit_row_change",
        "trigger admin.signature.audit_row_change: enabled is origin instead of always",
    ),
    ("B1", 'select admin.import_approvals(\'[{"approval_id": "x"}]\')', "1 rejected"),
    (
        "B1",
        NO_GUARDS + f"delete from admin.approval where approval_id = '{GONE}'" + GUARDS,
        "3 approvals have been imported in all, and 2 are there",
    ),
    (
        "B3",
        NO_GUARDS + f"delete from admin.approval where approval_id = '{GONE}'" + GUARDS,
        "3 approvals have been imported in all, and 2 are there",
    ),
    ("B2", "select admin.record_parity_run(100, 2, 0)", "2 of 100 cases differ"),
    ("B2", "select admin.record_parity_run(100, 0, 1)", "1 left out"),
    (
        "B2",
        f"select admin.sensitive_check_shadow('{{}}', '{ID}', 'pay', 'account 7')",
        "1 answers in shadow mode differ",
    ),
    ("B3", NO_GUARDS + f"delete from admin.signature where approval_id = '{LATE}'" + GUARDS, f"one of them: {LATE}"),
    (
        "B3",
        NO_GUARDS + f"update admin.approval set state = 'pending' where approval_id = '{ID}'" + GUARDS,
        f"one of them: {ID}",
    ),
    ("B3", ORPHAN, "1 of 4 signatures are of no approval"),
    ("B4", ORPHAN, "1 of 4 signatures are of no approval"),
    ("F3", ORPHAN, "1 of 4 signatures are of no approval"),
    (
        "B4",
        NO_GUARDS + f"update admin.approval set resource = 'account 8' where approval_id = '{ID}'" + GUARDS,
        f"one of them: {ID}",
    ),
    (
        "C1",
        "create or replace view admin.approval_ttl_state as select approval_id, state, sla_deadline, 'valid'::text as ttl_state, sla_deadline as valid_until, "
        "statement_timestamp() as evaluated_at from admin.approval",
        "by the check",
    ),
    (
        "C1",
        f"create or replace view admin.approval_ttl_state as select approval_id, state, sla_deadline, ttl_state, valid_until, evaluated_at from (select approval_id, state, "
        f"sla_deadline, admin.ttl_state(state, closed_at, sla_deadline, now()), null::timestamptz as valid_until, now() as evaluated_at from admin.approval) as v "
        f"where approval_id <> '{ID}'",
        "their number differs",
    ),
    (
        "C2",
        "create or replace view admin.approval_ttl_state as select approval_id, state, sla_deadline, 'valid'::text as ttl_state, sla_deadline as valid_until, "
        "statement_timestamp() as evaluated_at from admin.approval",
        "1 approvals are valid by the view though the deadline has passed",
    ),
    (
        "C3",
        "create or replace function admin.ttl_state(state text, closed_at timestamptz, sla_deadline timestamptz, at timestamptz) returns text language sql immutable "
        "return case when at <= sla_deadline then 'valid' else 'expired' end",
        "ttl_state of signed_full at the deadline is valid, not expired",
    ),
    (
        "D5",
        "insert into admin.dead_letter (sink, audit_id, error) values ('ndjson', 1, 'x')",
        "sink ndjson rejected 1 rows",
    ),
    ("D6", RECEIPT.format(n=ARCHIVED, chain="forged"), "1 receipts for sink ndjson of store "),
    (
        "D6",
        f"select admin.record_receipt(admin.store_id(), 'ndjson', {ARCHIVED}, null, null, null, 'a number is missing')",
        f"has stopped after number {ARCHIVED} of store ",
    ),
    (
        "D6",
        "insert into admin.archive_receipt select store_id, sink, last_number + 1, chain, seal_sha256, retain_until, location, now(), 'ok' from admin.archive_receipt",
        "it was written by hand",
    ),
    # More documents than there are receipts, which wait without being late.
    ("D6", LINK.format(n=ARCHIVED + 9, age="61 minutes"), "the archive of sink ndjson is 9 rows and 36"),
    ("D6", NO_RECEIPTS, None),
    ("E1", "revoke execute on function admin.sensitive_check from ff", "no role but superusers may call"),
    ("E1", "grant update (action) on admin.approval to ff", "ff has UPDATE on table admin.approval (action)"),
    (
        "E1",
        "grant insert on admin.signature to ff",
        "ff has INSERT on table admin.signature: admin.grant_access() did not give it; run REVOKE INSERT",
    ),
    (
        "E1",
        "grant execute on function admin.sensitive_check to public",
        "public has EXECUTE on routine admin.sensitive_check(",
    ),
    ("E1", "grant execute on function admin.add_jwt_issuer to ff", "ff has EXECUTE on routine admin.add_jwt_issuer("),
    (
        "E1",
        "grant usage on sequence admin.audit_audit_id_seq to ff",
        "ff has USAGE on sequence admin.audit_audit_id_seq",
    ),
    ("E1", "grant create on schema admin to ff", "ff has CREATE on schema admin"),
    ("E1", "grant pg_write_all_data to reads", "reads has MEMBER on role pg_write_all_data: it writes every table"),
    ("E1", "grant postgres to ff", "ff has MEMBER on role postgres: it is a superuser's role"),
    ("E2", NO_TRAIL_GUARDS + "delete from admin.audit where event_type = 'sensitive.check.2b'", "no check stands"),
    (
        "E5",
        'select admin.audit_ingest(\'[{"specversion": "1.0", "id": "9", "source": "/ff/1", "type": "x", "sequence": "9"}]\')',
        "events 3 to 8 of /ff/1 are missing",
    ),
    ("E5", "delete from admin.ingest_source", None),
    ("F1", "select admin.revoke_jwt_key('https://issuer', '1')", "https://issuer has no key that is good"),
    ("F1", "delete from admin.jwt_key; delete from admin.jwt_issuer", "no issuer of tokens is trusted"),
    ("F2", "set local admin_ext.require_verified_jwt = off", "require_verified_jwt is off"),
    ("F2", "alter database postgres set admin_ext.require_verified_jwt = off", "off in this database"),
    ("F2", "alter role ff set admin_ext.require_verified_jwt = 'no'", "off for role ff"),
    (
        "F3",
        NO_GUARDS
        + f"update admin.signature set signer = 'boss' where approval_id = '{ID}' and signer_role = 'r'"
        + GUARDS,
        f"one of them: {ID}",
    ),
    (
        "F3",
        "alter table admin.signature drop constraint signature_one_per_person",
        "signature_one_per_person is not there",
    ),
    ("F3", "alter table admin.signature disable trigger signature_guard", "signature_guard is not ENABLE ALWAYS"),
    (
        "F4",
        NO_GUARDS
        + f"update admin.approval set state = 'pending', closed_at = null, closed_by = null where approval_id = '{GONE}'"
        + GUARDS,
        f"{GONE} was withdrawn",
    ),
    ("F4", "alter table admin.approval disable trigger approval_guard", "approval_guard is not ENABLE ALWAYS"),
]
