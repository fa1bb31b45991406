"""Both engines on a real server: PGHOST's where it is set, otherwise a scratch cluster of test/lib/cluster.sh."""

import asyncio
import dataclasses
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from admin_client.parity import engine, store
from admin_client.parity.__main__ import main
from admin_client.parity.compare import compare
from admin_client.parity.database import scratch
from admin_client.parity.engine import Approval, Request, Signature
from admin_client.parity.generate import clipped
from admin_client.parity.run import Outcome, ask_both, run_document, run_random
from test_parity_store import ELEMENTS, SOUND

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "fixtures" / "approval_examples.json"
CLUSTER = '. test/lib/cluster.sh && cluster_start && echo "$PGHOST" && read -r _'
DEADLINE = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
CASES = int(os.environ.get("PARITY_CASES", "20000"))
SEED = int(os.environ.get("SEED", "1"))


@pytest.fixture(scope="module")
def dsn():
    if "PGHOST" in os.environ:
        yield None
        return
    cluster = subprocess.Popen(
        ["bash", "-c", CLUSTER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        directory = cluster.stdout.readline().strip()
        if not directory:
            pytest.fail("no scratch cluster")
        yield f"postgresql://postgres@/postgres?host={directory}"
    finally:
        cluster.communicate("\n")


def document(dsn, text, *instants):
    async def run():
        outcome = Outcome()
        async with scratch(dsn, "test") as db:
            await run_document(db, "store.json", text, instants, outcome)
        return outcome

    return asyncio.run(run())


def randomly(dsn, cases, seed=SEED, chosen=()):
    async def run():
        outcome = Outcome()
        async with scratch(dsn, "sound") as sound, scratch(dsn, "forged") as forged:
            await forged.lift_constraints()
            await run_random(sound, forged, seed, cases, outcome, lambda done: None, chosen)
        return outcome

    return asyncio.run(run())


def directly(dsn, approval, *requests):
    """One approval that a superuser put into the tables, asked for."""

    async def run():
        outcome = Outcome()
        async with scratch(dsn, "test") as db:
            await db.lift_constraints()
            await db.load_directly([approval])
            await ask_both(db, "tables", {approval.approval_id: approval}, requests, outcome)
        return outcome

    return asyncio.run(run())


def shown(outcome):
    return [(finding.group, finding.subject, finding.why) for finding in outcome.findings[:5]]


def test_the_six_fixtures(dsn):
    outcome = document(dsn, FIXTURES.read_text(), DEADLINE)
    assert outcome.equal, shown(outcome)
    assert outcome.approvals == 6 and outcome.rejected == 0 and outcome.cases > 300
    assert {3, 5, 7, 8, 9, 10} <= outcome.rules.keys() and len(outcome.edges) == 4


def test_a_fixture_that_expects_something_else_is_told_of_both_engines(dsn):
    elements = json.loads(FIXTURES.read_text())
    elements[0]["expected"]["decision"] = "deny"
    outcome = document(dsn, json.dumps(elements))
    assert [finding.kind for finding in outcome.findings] == ["expected"] * 2
    assert {finding.why.split(" does")[0] for finding in outcome.findings} == {"The file-backed engine", "The database"}
    assert all([d.key for d in finding.differences] == ["decision"] for finding in outcome.findings)


def test_random_cases_differ_in_nothing(dsn):
    outcome = randomly(dsn, CASES)
    assert outcome.equal, shown(outcome)
    assert outcome.cases == CASES and outcome.rejected > 20
    assert all(outcome.rules[rule.precedence] > CASES / 200 for rule in engine.RULES), outcome.rules
    assert outcome.reasons.keys() == {
        "approval_id_invalid",
        "approval_not_found",
        "approval_withdrawn",
        "approval_inconsistent",
        "action_mismatch",
        "resource_mismatch",
        "approval_expired",
        "dual_signers_required",
        "signature_required",
        "valid",
        "error 22023",
    }
    assert all(n > CASES / 100 for n in outcome.edges.values()) and len(outcome.edges) == 4


def test_random_stores_at_chosen_instants(dsn):
    outcome = randomly(dsn, 2000, chosen=[DEADLINE, datetime(2026, 3, 29, 1, tzinfo=UTC)])
    assert outcome.equal, shown(outcome)
    assert len(outcome.edges) == 4


def test_a_seed_makes_the_same_stores(dsn):
    one, other = (randomly(dsn, 600, seed=5) for _ in range(2))
    assert (one.approvals, one.rejected, one.rules.keys()) == (other.approvals, other.rejected, other.rules.keys())


# -- a file that is not all sound -------------------------------------------------------------------------------------


def test_reader_and_import_leave_out_the_same_elements(dsn):
    elements = [
        {**SOUND, **change, **({} if "approval_id" in change else {"approval_id": f"APP-{n:06d}-t"})}
        for n, (change, _) in enumerate(ELEMENTS)
    ]
    elements += [7, None, elements[0], {**elements[0], "action": "else"}]
    outcome = document(dsn, json.dumps(elements))
    assert {finding.kind for finding in outcome.findings} == {"left out"}, shown(outcome)
    assert {int(re.match(r"element (\d+)", finding.subject)[1]) for finding in outcome.findings} == {
        n for n, (_, error) in enumerate(ELEMENTS) if error
    } | {len(ELEMENTS), len(ELEMENTS) + 1, len(ELEMENTS) + 3}


def test_a_bad_file_is_named_by_index_with_what_differs_and_why(dsn):
    sound = {**SOUND, "state": "pending", "signatures": []}
    outcome = document(
        dsn,
        json.dumps(
            [
                {**SOUND, "approval_id": "APP-000001-a", "state": "approved"},
                {**SOUND, "approval_id": "APP-000002-a", "state": "signed_full"},
                {**sound, "approval_id": "APP-000003-a"},
                {**sound, "approval_id": "APP-000003-a", "required_roles": ["a"]},
            ]
        ),
    )
    assert (outcome.approvals, outcome.rejected, sum(outcome.differing.values())) == (1, 3, 0)
    told = {finding.subject: finding for finding in outcome.findings}
    assert told.keys() == {"element 0 (APP-000001-a)", "element 1 (APP-000002-a)", "element 3 (APP-000003-a)"}
    unknown = told["element 0 (APP-000001-a)"]
    assert 'state "approved" is unknown' in unknown.why
    assert {d.key: (d.left, d.right) for d in unknown.differences}["reason"] == (
        '"approval_inconsistent"',
        '"approval_not_found"',
    )
    assert 'its signatures amount to "signed_partial"' in told["element 1 (APP-000002-a)"].why
    assert "element 2 already" in told["element 3 (APP-000003-a)"].why
    assert "required_signer_count" in {d.key for d in told["element 3 (APP-000003-a)"].differences}


def test_a_reader_that_takes_what_import_refuses_is_caught(dsn, monkeypatch):
    monkeypatch.setattr(store, "check_signatures", lambda approval: None)
    outcome = document(dsn, json.dumps([{**SOUND, "state": "signed_full"}]))
    assert ("store", "element 0") in {(finding.kind, finding.subject) for finding in outcome.findings}


# -- an engine that is not right --------------------------------------------------------------------------------------


def corrupt(monkeypatch, precedence, **change):
    monkeypatch.setattr(
        engine,
        "RULES",
        tuple(dataclasses.replace(rule, **change) if rule.precedence == precedence else rule for rule in engine.RULES),
    )


def late(state, closed_at, sla_deadline, at, right=engine.ttl_state):
    return right(state, closed_at, clipped(sla_deadline, timedelta(microseconds=1)), at)


@pytest.mark.parametrize(
    "precedence, change, keys",
    [
        (1, {"reason": engine.says("approval_not_found")}, {"reason"}),
        (3, {"holds": lambda f: f.approval.state == "withdrawn"}, {"reason", "meta"}),
        (4, {"holds": lambda f: False}, {"meta"}),
        (4, {"operator_alert": False}, {"meta"}),
        (5, {"holds": lambda f: (f.request.action or f.approval.action) != f.approval.action}, {"meta"}),
        (6, {"holds": lambda f: f.request.resource not in (None, f.approval.resource)}, {"reason", "meta"}),
        (7, {"holds": lambda f: False}, {"meta"}),
        (8, {"holds": lambda f: False}, {"meta"}),
        (9, {"reason": engine.says("signature_required")}, {"reason"}),
        (10, {"decision": "deny"}, {"decision", "valid_until"}),
    ],
)
def test_a_corrupted_rule_is_caught_and_explained(dsn, monkeypatch, precedence, change, keys):
    corrupt(monkeypatch, precedence, **change)
    outcome = randomly(dsn, 2000)
    found = [finding for finding in outcome.findings if finding.kind == "answer"]
    assert found and all(keys <= {d.key for d in finding.differences} for finding in found)
    assert all(
        f"rule {precedence}," in finding.why and "The database: rule " in finding.why for finding in found[:5]
    ), shown(outcome)


def test_a_clock_that_is_a_microsecond_late_is_caught(dsn, monkeypatch):
    monkeypatch.setattr(engine, "ttl_state", late)
    outcome = randomly(dsn, 2000)
    told = {(d.left, d.right) for finding in outcome.findings for d in finding.differences if d.key == "ttl_state"}
    assert told == {('"valid"', '"expired"'), ('"not-applicable"', '"expired"'), ('"expired"', '"stale"')}


def test_a_digest_of_something_else_is_caught(dsn, monkeypatch):
    right = engine.digest
    monkeypatch.setattr(
        engine, "digest", lambda approval: right(dataclasses.replace(approval, resource=approval.resource or ""))
    )
    assert "digest" in {finding.kind for finding in document(dsn, FIXTURES.read_text()).findings}


# -- recorded answers -------------------------------------------------------------------------------------------------


def test_a_recorded_answer_is_compared_as_a_fresh_one_is(dsn):
    """What FF's file said beside the database's audited answer: compare() needs the row without what was asked."""

    async def run():
        async with scratch(dsn, "test") as db:
            loaded_at, _ = await db.load_text(FIXTURES.read_text())
            approvals = store.read(store.parse(FIXTURES.read_text()), loaded_at).approvals
            await db.connection.execute("select admin.sensitive_check(approval_id) from admin.approval")
            rows = await db.connection.fetch(
                """select approval_id, left(payload::text, strpos(payload::text, ',"request":') - 1) || '}'
                   from admin.audit where event_type = 'sensitive.check.2b'"""
            )
        return [(engine.decide(approvals, Request(row[0]), loaded_at), row[1]) for row in rows]

    pairs = asyncio.run(run())
    assert len(pairs) == 6 and all(ours != theirs and compare(ours, theirs) == () for ours, theirs in pairs)


# -- where the database tells something that no rule says -------------------------------------------------------------


def test_a_state_no_constraint_would_let_in_is_denied_alike_and_named_unknown_by_the_database(dsn):
    """Only a superuser who dropped the constraint gets there; the rules do not say how such a state is shown."""
    approval = Approval(
        "APP-000001-a", "pay", None, ("a",), 1, "ann", "approved", DEADLINE, signatures=(Signature("a", "bob"),)
    )
    outcome = directly(dsn, approval, Request(approval.approval_id, at=DEADLINE))
    assert [[(d.key, d.left, d.right) for d in finding.differences] for finding in outcome.findings] in (
        [],
        [[("state", '"approved"', '"unknown"')]],
    )


def test_an_id_of_more_than_64_kilobytes_is_invalid_by_the_rules_and_an_error_of_the_database(dsn):
    """The limits that are documented are of action and resource; by rule 1 any malformed id is denied."""
    approval = Approval("APP-000001-a", "pay", None, ("a",), 1, "ann", "pending", DEADLINE)
    outcome = directly(dsn, approval, Request("x" * 65536, at=DEADLINE), Request("x" * 65537, at=DEADLINE))
    assert [finding.group for finding in outcome.findings] in ([], ["answer: file rule 1, database error 22023"])


# -- the command ------------------------------------------------------------------------------------------------------


def command(dsn, *arguments):
    return main([*(["--dsn", dsn] if dsn else []), *map(str, arguments)])


def test_exit_status_0_and_a_report(dsn, capsys, tmp_path):
    page = tmp_path / "parity.html"
    assert (
        command(
            dsn,
            "--fixtures",
            FIXTURES,
            "--cases",
            1000,
            "--seed",
            3,
            "--at",
            "2026-11-24T20:00:00Z",
            "2026-11-25T20:00:00Z",
            "--html",
            page,
        )
        == 0
    )
    told = capsys.readouterr().out
    assert "no difference" in told and "seed 3" in told and " 10 otherwise" in told
    assert "no difference" in page.read_text() and "seed 3" in page.read_text()


def test_exit_status_1_and_what_differs(dsn, capsys, tmp_path, monkeypatch):
    corrupt(monkeypatch, 8, operator_alert=True)
    page = tmp_path / "parity.html"
    assert command(dsn, "--fixtures", FIXTURES, "--html", page) == 1
    told = capsys.readouterr().out
    assert "answer: file rule 8, database rule 8" in told and "APP-100004-expired" in told and "(expired)" in told
    assert "APP-100004-expired" in page.read_text() and "operator_alert" in page.read_text()


def test_exit_status_1_where_elements_are_left_out_and_nothing_of_them_acts(dsn, capsys, tmp_path):
    path, page = tmp_path / "store.json", tmp_path / "parity.html"
    path.write_text(json.dumps([SOUND, {**SOUND, "approval_id": "APP-000002-a", "state": "<script>\u001b[2J"}]))
    assert command(dsn, "--store", path, "--html", page) == 1
    told = capsys.readouterr().out
    assert "element 1 (APP-000002-a)" in told and "\x1b" not in told
    assert "<script" not in page.read_text() and "&lt;script&gt;" in page.read_text()


@pytest.mark.parametrize("content", ["{}", "nonsense", '["\\u0000"]', b"\xff\xfe"])
def test_exit_status_2_for_what_is_no_store(dsn, capsys, tmp_path, content):
    path = tmp_path / "store.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert command(dsn, "--store", path) == 2
    assert capsys.readouterr().err.startswith("parity: ")


def test_exit_status_2_for_a_file_or_server_that_is_not_there(dsn, capsys, tmp_path):
    assert command(dsn, "--store", tmp_path / "none.json") == 2
    assert main(["--dsn", f"postgresql://postgres@/postgres?host={tmp_path}", "--cases", "1"]) == 2
    assert "parity: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--cases", "-1"], ["--at", "tomorrow"], ["--seed", "x"], ["more"]])
def test_exit_status_2_for_arguments_that_make_no_sense(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_parity_runs_as_a_module_and_leaves_no_database_behind(dsn):
    arguments = [sys.executable, "-m", "admin_client.parity", "--cases", "200", *(["--dsn", dsn] if dsn else [])]
    ran = subprocess.run(
        arguments, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "clients/python/src")}
    )
    assert ran.returncode == 0, ran.stderr

    async def left():
        async with scratch(dsn, "count") as db:
            return await db.connection.fetchval(
                "select count(*) from pg_database where datname like 'admin\\_parity\\_%'"
            )

    assert asyncio.run(left()) == 1
