"""What stands in admin.approval and admin.signature against what the documents lead to, on a real server."""

import contextlib
import json
import threading

import pytest
from test_verify_database import archive, server, sql, verify  # noqa: F401  (fixtures)

ISSUE = """insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
  select 'APP-' || lpad((n % 1000000)::text, 6, '0') || '-{suffix}', 'pay', null, '{{r}}', 1, 'boss', now() + interval '3 days' from generate_series({first}, {last}) as n"""
SIGN = "insert into admin.signature (approval_id, signer_role, signer) select approval_id, 'r', 'ann' from admin.approval where state = 'pending' and approval_id like '%-{suffix}'"
FORGED = """insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, state, sla_deadline, created_at)
  values ('APP-777777-evil', 'pay', '{r}', 1, 'boss', 'signed_full', now() + interval '3 days', '2026-01-02 03:04:05+00');
insert into admin.signature (approval_id, signer_role, signer, approval_digest) values ('APP-777777-evil', 'r', 'eve', sha256('x'))"""
UNTRUE = {
    "an approval": (
        FORGED,
        [
            "approval APP-777777-evil is in the database, but no document issued it (created_at 2026-01-02T03:04:05+00:00)"
        ],
    ),
    "a signature": (
        "insert into admin.signature (approval_id, signer_role, signer, approval_digest) values ('APP-000027-v', 'r', 'eve', sha256('x'))",
        ["the signature of eve as r of approval APP-000027-v (digest ", "is in the database, but no document added it"],
    ),
    "a signature of nothing": (
        "insert into admin.signature (approval_id, signer_role, signer, approval_digest) values ('APP-888888-no', 'r', 'eve', sha256('x'))",
        ["1 signature of APP-888888-no in the database, where neither a document nor a row issued it"],
    ),
    "another state and resource": (
        "update admin.approval set state = 'signed_full', resource = 'account 9' where approval_id = 'APP-000028-v'",
        ["approval APP-000028-v is another one in the database than the documents lead to: resource, state differ"],
    ),
    "another deadline": (
        "update admin.approval set sla_deadline = sla_deadline + interval '1 microsecond' where approval_id = 'APP-000002-v'",
        ["approval APP-000002-v is another one in the database than the documents lead to: sla_deadline differs"],
    ),
    "a digest": (
        "update admin.signature set approval_digest = sha256('x') where approval_id = 'APP-000002-v' and signer_role = 'r'",
        [
            "the signature of ann as r of approval APP-000002-v (digest ",
            "is missing in the database",
            "but no document added it",
        ],
    ),
    "a signature that is gone": (
        "delete from admin.signature where approval_id = 'APP-000002-v' and signer_role = 'r'",
        ["the signature of ann as r of approval APP-000002-v (digest ", "is missing in the database"],
    ),
    "an approval that is gone": (
        "delete from admin.signature where approval_id = 'APP-000030-v'; delete from admin.approval where approval_id = 'APP-000030-v'",
        ["approval APP-000030-v is missing in the database, but the documents have it"],
    ),
}


GUARDED = "tgrelid in ('admin.approval'::regclass, 'admin.signature'::regclass) and not tgisinternal"


@contextlib.contextmanager
def untrue(dsn, change):
    """What a superuser does behind the triggers' back, and undoes.  Not even ALTER TABLE is seen."""
    sql(
        dsn,
        f"create table kept_trigger as select oid, tgenabled from pg_trigger where {GUARDED}",
        "set allow_system_table_mods = on",
        f"update pg_trigger set tgenabled = 'D' where {GUARDED}",
        "create table kept_approval as table admin.approval",
        "create table kept_signature as table admin.signature",
    )
    try:
        sql(dsn, "set session_replication_role = replica", change)
        yield
    finally:
        sql(
            dsn,
            "set session_replication_role = replica",
            "delete from admin.signature",
            "delete from admin.approval",
            "insert into admin.approval select * from kept_approval",
            "insert into admin.signature overriding system value select * from kept_signature",
            "set allow_system_table_mods = on",
            "update pg_trigger as t set tgenabled = k.tgenabled from kept_trigger as k where k.oid = t.oid",
            "drop table kept_approval, kept_signature, kept_trigger",
        )


@pytest.mark.parametrize("change, says", UNTRUE.values(), ids=UNTRUE)
def test_what_no_document_leads_to_is_seen(archive, change, says):  # noqa: F811
    dsn, _, arguments = archive
    with untrue(dsn, change):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 1 and all(text in said for text in says) and "stand in the database" not in said, said


def test_what_stands_there_is_what_the_documents_lead_to(archive):  # noqa: F811
    dsn, documents, arguments = archive
    status, said = verify(*arguments, "--dsn", dsn)
    events = [json.loads(document)["type"] for document in documents]
    issued, signed = events.count("ptt.admin.approval.issued"), events.count("ptt.admin.signature.added")
    assert (
        status == 0
        and f"{issued:,} approvals and {signed:,} signatures that stand in the database at 20" in said.splitlines()[-1]
    ), said


def test_changes_on_their_way_are_no_alarm(archive):  # noqa: F811
    """More approvals are issued and signed, and others change, while the verifier looks."""
    dsn, documents, arguments = archive
    sql(dsn, ISSUE.format(suffix="many", first=1, last=1000))
    stop = threading.Event()

    def work():
        for round_ in range(200):
            if stop.is_set():
                return
            sql(dsn, ISSUE.format(suffix=f"w{round_}", first=1, last=5), SIGN.format(suffix=f"w{round_}"))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        sql(dsn, SIGN.format(suffix="many"))
        status, said = verify(*arguments, "--dsn", dsn)
    finally:
        stop.set()
        worker.join()
    assert status == 0 and "changed after the newest document that is here" in said and "wrong" not in said, said


def test_what_is_untrue_behind_the_newest_document_is_seen(archive):  # noqa: F811
    """The rows of the trail that are on their way say what has to stand there."""
    dsn, _, arguments = archive
    sql(dsn, ISSUE.format(suffix="new", first=1, last=1))
    with untrue(dsn, "update admin.approval set action = 'steal' where approval_id = 'APP-000001-new'"):
        status, said = verify(*arguments, "--dsn", dsn)
    assert (
        status == 1
        and "approval APP-000001-new is another one in the database than the documents lead to: action differs" in said
    ), said


def test_the_role_of_an_auditor_is_enough(archive):  # noqa: F811
    dsn, _, arguments = archive
    sql(dsn, "create role looks login", "select admin.grant_access('looks', 'auditor')")
    status, said = verify(*arguments, "--dsn", dsn.replace("postgres@", "looks@"))
    assert status == 0 and "stand in the database" in said, said
