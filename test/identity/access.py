"""Each kind of access does what it is for, and none of them comes to a valid decision by itself."""

import json
import pathlib
import subprocess
import sys

from harness import AUDIENCE, ISSUER, Issuer, claims, connect, done, error, new_key, ok, one, public, rows, sign_text

superuser = connect()
issuer = Issuer(superuser)
own = new_key("ES256")
EVERYBODY = ("nobody", "checker", "signer", "auditor", "operator", "monitor", "archiver", "policy")
for role in EVERYBODY:
    one(superuser, f"drop role if exists identity_{role}; create role identity_{role} login")
    if role != "nobody":
        one(superuser, f"select admin.grant_access('identity_{role}', '{role}')")
# A setting of a library that is not loaded yet anybody can write down; it is forgotten when it is.
without_token = "select admin.issue_approval('pay', array['r'], now() + interval '1 h', requested_by => 'req')"
early = connect("identity_signer")
one(early, "set admin_ext.require_verified_jwt = off")
answer = error(early, without_token)
ok(answer[0] == "28000", "what is set before the library is loaded has no effect", answer)
answer = error(connect("identity_signer", options="-c admin_ext.require_verified_jwt=off"), without_token)
ok(answer[0] == "28000", "a client's connection option does not turn off require_verified_jwt", answer)
error(connect("identity_signer"), "alter role identity_signer set admin_ext.require_verified_jwt = off")
answer = error(connect("identity_signer"), without_token)
ok(answer[0] == "28000", "a role cannot turn off require_verified_jwt for itself", answer)
roles = {role: connect(f"identity_{role}") for role in EVERYBODY}


for connection in roles.values():
    error(connection, "load 'admin_ext'")
    error(connection, "select admin.jwt_verify(null), admin.ttl_state('pending', null, now(), now())")
    error(connection, "select * from admin.worker_status")


def forged(subject, names=("finance", "legal")):
    return sign_text(
        json.dumps({"alg": "ES256", "kid": "ES256"}), json.dumps(claims(sub=subject, roles=list(names))), own, "ES256"
    )


# End to end, each by a role that can do nothing else.
issued = one(
    roles["signer"],
    "select admin.issue_approval('pay', array['finance','legal'], now() + interval '1 h', token => %s)",
    issuer.token("req"),
)["approval_id"]
one(roles["signer"], "select admin.sign_approval(%s, 'finance', token => %s)", issued, issuer.token("ann"))
ok(
    one(
        roles["signer"], "select admin.sign_approval(%s, 'legal', token => %s)", issued, issuer.token("bob", ["legal"])
    )["state"]
    == "signed_full",
    "a signer's role issues and signs",
)
ok(
    one(roles["checker"], "select admin.sensitive_check(%s)", issued)["decision"] == "valid",
    "a checker's role asks for a decision",
)
recorded = rows(superuser, "select max(audit_id) from admin.audit where event_type = 'sensitive.check.2b'")[0][0]
for who in ("auditor", "operator"):
    ok(one(roles[who], "select admin.replay_check(%s)", recorded)["equal"] is True, f"an {who}'s role replays a check")
    ok(
        len(rows(roles[who], "select * from admin.explain_replay(%s)", recorded)) == 10,
        f"an {who}'s role explains a replay",
    )
    ok(
        len(rows(roles[who], "select * from admin.verify_approval(%s) where fits", issued)) == 12,
        f"an {who}'s role verifies an approval",
    )
ok(
    one(
        roles["signer"],
        "select admin.withdraw_approval(%s, 'over', token => %s)",
        issued,
        issuer.token("bob", ["legal"]),
    )["state"]
    == "withdrawn",
    "a signer's role withdraws an approval",
)
ok(
    one(roles["checker"], "select admin.jwt_verify(%s)", issuer.token())["sub"] == "ann",
    "a checker's role verifies tokens",
)

# An approval that lacks one signature, and what each tries to do about it.
open_one = one(
    superuser,
    "select admin.issue_approval('pay', array['finance','legal'], now() + interval '1 h', token => %s)",
    issuer.token("req"),
)["approval_id"]
one(superuser, "select admin.sign_approval(%s, 'finance', token => %s)", open_one, issuer.token("ann"))
document = json.dumps(
    [
        {
            "approval_id": "APP-000009-import",
            "action": "pay",
            "required_roles": ["finance"],
            "requested_by": "req",
            "state": "signed_full",
            "sla_deadline": "2100-01-01T00:00:00Z",
            "signatures": [{"signer_role": "finance", "signer": "eve"}],
        }
    ]
)
attempts = [
    ("set the state", f"update admin.approval set state = 'signed_full' where approval_id = '{open_one}'"),
    (
        "insert a signature",
        f"insert into admin.signature (approval_id, signer_role, signer) values ('{open_one}', 'legal', 'eve')",
    ),
    (
        "insert an approval",
        "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000009-eve', 'a', '{r}', 1, 'x', '2100-01-01')",
    ),
    (
        "need fewer roles",
        f"update admin.approval set required_roles = '{{finance}}', required_signer_count = 1 where approval_id = '{open_one}'",
    ),
    ("delete the approval", f"delete from admin.approval where approval_id = '{open_one}'"),
    ("sign without token", f"select admin.sign_approval('{open_one}', 'legal', 'eve')"),
    ("sign by a token of one's own", f"select admin.sign_approval('{open_one}', 'legal', token => '{forged('eve')}')"),
    (
        "sign by the same person again",
        f"select admin.sign_approval('{open_one}', 'legal', token => '{issuer.token('ann', ['finance', 'legal'])}')",
    ),
    (
        "sign as the requester",
        f"select admin.sign_approval('{open_one}', 'legal', token => '{issuer.token('req', ['legal'])}')",
    ),
    ("need no tokens", "set admin_ext.require_verified_jwt = off"),
    ("need no tokens, by set_config", "select set_config('admin_ext.require_verified_jwt', 'off', false)"),
    ("allow for clocks", "set admin_ext.jwt_leeway = 3600"),
    ("restore", "set admin_ext.restoring = on"),
    ("be a replica", "set session_replication_role = replica"),
    ("trust an issuer", f"select admin.add_jwt_issuer('{ISSUER}', '{AUDIENCE}', 'sub')"),
    ("trust a key", f"select admin.import_jwks('{ISSUER}', '{json.dumps({'keys': [public(own, 'ES256', 'own')]})}')"),
    (
        "trust a key through admin_internal",
        f"select admin_internal.import_jwk('{ISSUER}', '{json.dumps(public(own, 'ES256', 'own'))}')",
    ),
    ("write an issuer", "insert into admin.jwt_issuer (issuer, audience) values ('x', 'x')"),
    ("write a key", f"update admin.jwt_key set jwk = '{json.dumps(public(own, 'ES256', 'ES256'))}'"),
    ("bring a key back", "update admin.jwt_key set revoked_at = null"),
    ("use a token again", "delete from admin.jwt_used"),
    ("import a signed approval", f"select admin.import_approvals('{document}')"),
    ("catch up with a signed approval", f"select admin.catch_up_approvals('{document}')"),
    ("write the trail", "insert into admin.audit (event_type, payload) values ('approval.issued', '{}')"),
    (
        "write a receipt",
        "insert into admin.archive_receipt (store_id, sink, last_number, location, status) select admin.store_id(), 'ndjson', 1, 'x', 'broken'",
    ),
    ("remove receipts", "delete from admin.archive_receipt"),
    (
        "write what receipts cover",
        "insert into admin_internal.archive_base (store_id, sink, last_number, retain_until) values (null, 'ndjson', 1, '2100-01-01')",
    ),
    ("grant access", "select admin.grant_access('identity_nobody', 'operator')"),
    ("grant a source", "select admin.grant_access('identity_checker', 'checker', '/ff/')"),
    ("revoke access", "select admin.revoke_access('identity_auditor', 'auditor')"),
    (
        "write who was granted what",
        "insert into admin.granted_access (role_name, access, role_oid, system_identifier) values ('identity_nobody', 'operator', 1, 1)",
    ),
    ("append an event of its own", "select admin_internal.append_event('approval.withdrawn', '{}')"),
    ("take the trigger away", "alter table admin.signature disable trigger all"),
    (
        "replace the guard",
        "create or replace function admin.signature_guard() returns trigger language plpgsql as 'begin return new; end'",
    ),
    ("take the owner's place", "set role postgres"),
]
for who, connection in roles.items():
    for name, attempt in attempts:
        code, text = error(connection, attempt)
        imported = name.endswith("a signed approval") and who == "operator"
        # Who may call nothing of the library has not loaded it: the setting is forgotten when it is.
        unloaded = who in ("nobody", "archiver", "policy") and "admin_ext." in attempt and "set" in attempt
        ok(
            code in ("42501", "28000", "23505") or unloaded or (imported and "'imported': 0" in text),
            f"{who} cannot {name}",
            f"{code} {text}",
        )
    error(connection, "rollback")
    states = rows(superuser, "select count(*) from admin.approval where state = 'signed_full'")
    ok(states == [(0,)], f"nothing is valid after all that {who} has tried", states)
ok(
    rows(superuser, "select count(*) from admin.approval where approval_id like 'APP-000009-%'") == [(0,)],
    "no attempt of any role has inserted an approval",
)
for prepare in ("set admin_ext.require_verified_jwt = off", None):
    fresh = connect("identity_operator")
    if prepare:
        one(fresh, prepare)
    answer = one(fresh, "select admin.import_approvals(%s)", document)
    ok(
        answer["imported"] == 0 and "superusers alone" in answer["rejected"][0]["error"],
        f"an operator whose session has not loaded the library imports nothing signed ({prepare})",
        answer,
    )
unsigned = json.dumps([{**json.loads(document)[0], "state": "pending", "signatures": []}])
answer = one(connect("identity_operator"), "select admin.import_approvals(%s)", unsigned)
ok(answer["imported"] == 0, "an operator cannot import an unsigned approval that nobody requested with a token", answer)
asked_for = one(
    connect("identity_operator"), "select to_jsonb(a) from admin.approval as a where approval_id = %s", open_one
)
answer = one(
    connect("identity_operator"),
    "select admin.catch_up_approvals(%s)",
    json.dumps([{**asked_for, "state": "withdrawn", "closed_at": "2026-01-01T00:00:00Z"}]),
)
ok(
    answer["advanced"] == 0 and "superusers alone" in answer["rejected"][0]["error"],
    "an operator cannot withdraw an existing approval with catch_up_approvals",
    answer,
)
one(superuser, "create role identity_team")
one(superuser, "select admin.grant_access('identity_team', 'operator')")
one(superuser, "grant identity_team to identity_operator")
team = connect("identity_operator")
one(team, "set role identity_team")
one(superuser, "alter role identity_team rename to identity_team2")
answer = one(team, "select admin.import_approvals(%s)", document)
ok(answer["imported"] == 0, "an operator under a role that is renamed meanwhile imports nothing signed", answer)
team.close()
one(superuser, "create schema attic authorization identity_operator")
maker = connect("identity_operator")
one(
    maker,
    f"""create function attic.imports(pg_catalog.int4) returns pg_catalog.int4 language plpgsql volatile as
               $$begin perform admin.import_approvals('{document}'); return $1; exception when others then return $1; end$$""",
)
one(
    maker,
    "create function attic.looks(pg_catalog.int4) returns pg_catalog.int4 language plpgsql immutable as $$begin return attic.imports($1); end$$",
)
one(
    maker,
    "create table attic.bait (n int4); insert into attic.bait select 1; create index on attic.bait (attic.looks(n))",
)
one(maker, "insert into attic.bait select generate_series(1, 10)")
one(superuser, "analyze attic.bait; reindex table attic.bait")
ok(
    rows(superuser, "select count(*) from admin.approval where approval_id = 'APP-000009-import'") == [(0,)],
    "an operator's function that a superuser's ANALYZE or REINDEX runs imports nothing signed",
)
maker.close()
one(superuser, "drop schema attic cascade")
one(superuser, "drop owned by identity_team2; drop role identity_team2")
ok(
    one(connect(), "select admin.import_approvals(%s)", document)["imported"] == 1,
    "a superuser imports what was signed before",
)

# What a caller makes in pg_temp takes no part in what runs as the owner.
shadows = "".join(
    f"""create domain pg_temp.{name} as pg_catalog.{name} check (pg_temp.grab(value::pg_catalog.text));
                      create function pg_temp.{name}eq(pg_catalog.{name}, pg_catalog.{name}) returns pg_catalog.bool language plpgsql as 'begin perform pg_temp.grab($1::pg_catalog.text); return true; end';"""
    for name in ("text", "timestamptz", "int4", "int8", "json", "jsonb", "bool")
)
grab = """create function pg_temp.grab(pg_catalog.text) returns pg_catalog.bool language plpgsql as $$begin
              if current_user = 'postgres' then raise exception 'the owner was grabbed' using errcode = 'XX000'; end if; return true; end$$;"""
calls = {
    "auditor": (
        f"select admin.replay_check({recorded})",
        f"select * from admin.explain_replay({recorded})",
        f"select * from admin.verify_approval('{issued}')",
    ),
    "operator": (
        f"select admin.replay_check({recorded})",
        f"select admin.import_approvals('{document}')",
        f"select admin.revoke_jwt_key('{ISSUER}', 'ES512')",
    ),
    "signer": (
        f"select admin.issue_approval('pay', array['finance'], now() + interval '1 h', token => '{issuer.token('req')}')",
        f"select admin.sign_approval('{open_one}', 'legal', token => '{issuer.token('bob', ['legal'])}')",
        f"select admin.withdraw_approval('{open_one}', 'x', token => '{issuer.token('req')}')",
    ),
    "checker": (
        f"select admin.sensitive_check('{open_one}', token => '{issuer.token()}')",
        f"select admin.jwt_verify('{issuer.token()}')",
    ),
}
for who, queries in calls.items():
    session = connect(f"identity_{who}")
    one(session, grab + shadows)
    one(session, "set search_path = pg_temp, public")
    for query in queries:
        code, text = error(session, query)
        ok(
            code == "none",
            f"{who}: types and functions in pg_temp take no part in {query[:32]}",
            f"{code} {text[:300]}",
        )
    session.close()

# Nobody claims the ids of a source that was granted to somebody else.
claimed = json.dumps([{"specversion": "1.0", "id": "pay-7", "source": "/ff/eu-1", "type": "noise"}])
one(superuser, "create role identity_ff login; select admin.grant_access('identity_ff', 'checker', '/ff/')")
for who in ("checker", "operator"):
    answer = one(roles[who], "select admin.audit_ingest(%s)", claimed)
    ok(
        answer["accepted"] == 0 and "prefix granted to role" in answer["rejected"][0]["error"],
        f"{who} cannot claim the ids of another source",
        answer,
    )
ff = connect("identity_ff")
paid = json.dumps(
    [{"specversion": "1.0", "id": "pay-7", "source": "/ff/eu-1", "type": "paid", "data": {"amount": 100}}]
)
ok(one(ff, "select admin.audit_ingest(%s)", paid)["accepted"] == 1, "the source's own event is in the trail")
ok(
    one(ff, "select admin.audit_ingest(%s)", paid)["duplicates"] == 1,
    "the source's own event is a duplicate when it is sent again",
)
answer = one(ff, "select admin.audit_ingest(%s)", paid.replace("100", "1000000"))
ok(
    answer["duplicates"] == 0 and "differs in data" in answer["rejected"][0]["error"],
    "another amount under the same id is rejected",
    answer,
)
ff.close()
one(superuser, "drop owned by identity_ff; drop role identity_ff")

# What the operator is for: an emergency at an issuer's.
ok(
    error(roles["operator"], "select admin.revoke_jwt_key(%s, 'ES384')", ISSUER)[0] == "none",
    "an operator revokes a key",
)
for who in EVERYBODY:
    if who == "operator":
        continue
    ok(
        error(roles[who], "select admin.revoke_jwt_key(%s, 'ES256')", ISSUER)[0] == "42501",
        f"{who} cannot revoke a key",
    )
    if who != "auditor":
        ok(error(roles[who], "select * from admin.jwt_key")[0] == "42501", f"{who} reads no key")

# Search paths, operators and casts of the install script.
root = pathlib.Path(__file__).resolve().parents[2]
for script in ("admin_ext--1.0.sql", "admin_ext_cutover--1.0.sql"):
    result = subprocess.run(
        [sys.executable, "-m", "pgspot", "--summary-only", str(root / "sql" / script)],
        capture_output=True,
        text=True,
        check=False,
    )
    ok(
        "Errors: 0 Warnings: 0" in result.stdout,
        f"pgspot finds nothing in {script}",
        result.stdout[-1500:] + result.stderr[-500:],
    )
for role in roles:
    roles[role].close()
    one(superuser, f"drop owned by identity_{role}; drop role identity_{role}")
done()
