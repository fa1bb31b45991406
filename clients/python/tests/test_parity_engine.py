"""The file-backed engine against the tables of the rules."""

import hashlib
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from admin_client.parity import engine
from admin_client.parity.engine import Approval, OverLimit, Request, Signature, decide
from hypothesis import given, settings, strategies as st

DEADLINE = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
BEFORE = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
US, DAY = timedelta(microseconds=1), timedelta(hours=24)
FULL = Approval(
    "APP-100002-dual",
    "payout.execute",
    "account 7",
    ("finance_gate", "legal_gate"),
    2,
    "ann",
    "signed_full",
    DEADLINE,
    signatures=(Signature("finance_gate", "bob"), Signature("legal_gate", "eve")),
)
PARTIAL = replace(FULL, approval_id="APP-100003-partial", state="signed_partial", signatures=FULL.signatures[:1])
PENDING = replace(FULL, state="pending", signatures=())
SINGLE = replace(PENDING, required_roles=("legal_gate",), required_signer_count=1)
WITHDRAWN = replace(FULL, state="withdrawn", closed_at=BEFORE)


def told(approval, at=BEFORE, action=None, resource=None, approval_id=...):
    asked = approval.approval_id if approval_id is ... else approval_id
    return json.loads(decide({approval.approval_id: approval}, Request(asked, action, resource), at))


@pytest.mark.parametrize(
    "state, closed, age, expected",
    [
        ("withdrawn", True, -DAY, "not-applicable"),
        ("withdrawn", False, -DAY, "not-applicable"),
        ("signed_full", True, -DAY, "not-applicable"),
        ("signed_full", True, DAY + US, "not-applicable"),
        ("signed_full", False, -US, "valid"),
        ("signed_full", False, timedelta(0), "expired"),
        ("signed_full", False, US, "expired"),
        ("signed_full", False, DAY - US, "expired"),
        ("signed_full", False, DAY, "expired"),
        ("signed_full", False, DAY + US, "stale"),
        ("signed_partial", False, -US, "not-applicable"),
        ("signed_partial", False, timedelta(0), "expired"),
        ("pending", False, -US, "not-applicable"),
        ("pending", False, DAY, "expired"),
        ("pending", False, DAY + US, "stale"),
        ("no state of ours", False, -US, "not-applicable"),
        ("no state of ours", False, DAY + US, "stale"),
    ],
)
def test_ttl_state_follows_its_table(state, closed, age, expected):
    assert engine.ttl_state(state, BEFORE if closed else None, DEADLINE, DEADLINE + age) == expected


def test_a_day_is_24_hours_when_the_clocks_change():
    deadline = datetime.fromisoformat("2026-03-28T12:00:00+01:00")
    assert (
        engine.ttl_state("signed_full", None, deadline, datetime.fromisoformat("2026-03-29T13:00:00+02:00"))
        == "expired"
    )
    assert (
        engine.ttl_state("signed_full", None, deadline, datetime.fromisoformat("2026-03-29T13:00:00.000001+02:00"))
        == "stale"
    )


@pytest.mark.parametrize(
    "precedence, approval, at, asked, decision, reason, alert, requestable",
    [
        (1, FULL, BEFORE, {"approval_id": None}, "deny", "approval_id_invalid", False, False),
        (1, FULL, BEFORE, {"approval_id": "APP-100002-dual\n"}, "deny", "approval_id_invalid", False, False),
        (2, FULL, BEFORE, {"approval_id": "APP-999999-none"}, "deny", "approval_not_found", False, False),
        (3, WITHDRAWN, BEFORE, {}, "deny", "approval_withdrawn", False, False),
        (3, replace(FULL, closed_at=BEFORE), BEFORE, {}, "deny", "approval_withdrawn", False, False),
        (3, replace(FULL, state="withdrawn"), BEFORE, {}, "deny", "approval_withdrawn", False, False),
        (4, replace(FULL, signatures=()), BEFORE, {}, "deny", "approval_inconsistent", True, False),
        (4, replace(FULL, state="approved"), BEFORE, {}, "deny", "approval_inconsistent", True, False),
        (5, FULL, BEFORE, {"action": "payout.executE"}, "deny", "action_mismatch", False, False),
        (5, FULL, BEFORE, {"action": ""}, "deny", "action_mismatch", False, False),
        (6, FULL, BEFORE, {"resource": "account 8"}, "deny", "resource_mismatch", False, False),
        (7, FULL, DEADLINE + DAY + US, {}, "deny", "approval_expired", True, False),
        (8, FULL, DEADLINE + DAY, {}, "deny", "approval_expired", False, False),
        (8, FULL, DEADLINE, {}, "deny", "approval_expired", False, False),
        (9, PENDING, BEFORE, {}, "deny", "dual_signers_required", False, True),
        (9, PARTIAL, BEFORE, {}, "deny", "dual_signers_required", False, True),
        (9, SINGLE, BEFORE, {}, "deny", "signature_required", False, True),
        (10, FULL, DEADLINE - US, {}, "valid", None, False, False),
        (10, FULL, BEFORE, {"action": "payout.execute", "resource": "account 7"}, "valid", None, False, False),
        (10, replace(FULL, resource=None), BEFORE, {"resource": "anything"}, "valid", None, False, False),
    ],
)
def test_each_rule(precedence, approval, at, asked, decision, reason, alert, requestable):
    answer = told(approval, at, **asked)
    assert (answer["decision"], answer["reason"]) == (decision, reason)
    assert answer["meta"] == {"operator_alert": alert, "precedence": precedence, "requestable": requestable}
    assert answer["valid_until"] == ("2026-11-24T20:00:00.000000Z" if decision == "valid" else None)


def holding(rules: set[int]) -> tuple[dict, Request, datetime]:
    """A case in which the conditions of just these rules, among 3 to 9, hold (7 and 8 exclude each other)."""
    approval = FULL if 9 not in rules else PARTIAL
    if 4 in rules:
        approval = replace(approval, signatures=(Signature("not required", "eve"), *approval.signatures[1:]))
    if 3 in rules:
        approval = replace(approval, closed_at=BEFORE)
    at = DEADLINE + DAY + US if 7 in rules else DEADLINE if 8 in rules else BEFORE
    return (
        {approval.approval_id: approval},
        Request(approval.approval_id, "else" if 5 in rules else None, "else" if 6 in rules else None),
        at,
    )


@pytest.mark.parametrize(
    "rules",
    [set(c) for n in range(7) for c in itertools.combinations((3, 4, 5, 6, 7, 9), n)]
    + [set(c) | {8} for n in range(6) for c in itertools.combinations((3, 4, 5, 6, 9), n)],
)
def test_the_first_rule_that_holds_decides(rules):
    store, request, at = holding(rules)
    first = min(rules, default=10)
    assert json.loads(decide(store, request, at))["meta"]["precedence"] == first


@pytest.mark.parametrize(
    "wrong",
    [
        replace(FULL, state="pending"),
        replace(FULL, state="signed_partial"),
        replace(PARTIAL, state="signed_full"),
        replace(PENDING, state="signed_partial"),
        replace(FULL, state=""),
        replace(FULL, state="SIGNED_FULL"),
        replace(FULL, required_signer_count=1),
        replace(FULL, required_signer_count=3),
        replace(FULL, required_signer_count=0),
        replace(PENDING, required_signer_count=-1, required_roles=()),
        replace(PENDING, required_signer_count=9),
        replace(PENDING, required_roles=tuple("abcdefghi"), required_signer_count=9),
        replace(FULL, signatures=FULL.signatures + (Signature("legal_gate", "joe"),)),
        replace(FULL, signatures=(Signature("legal_gate", "bob"), Signature("legal_gate", "eve"))),
        replace(FULL, signatures=(Signature("finance_gate", "bob"), Signature("legal_gate", "bob"))),
        replace(FULL, signatures=(Signature("finance_gate", "bob"), Signature("legal_gate", "ann"))),
        replace(FULL, signatures=(Signature("finance_gate", "bob"), Signature("Legal_gate", "eve"))),
        replace(FULL, signatures=(Signature("finance_gate", "bob"), Signature("legal_gate", "eve", bytes(32)))),
        replace(
            FULL,
            signatures=tuple(
                replace(s, digest=engine.digest(replace(FULL, sla_deadline=DEADLINE - US))) for s in FULL.signatures
            ),
        ),
    ],
)
def test_what_state_and_signatures_disagree_about_is_inconsistent(wrong):
    assert told(wrong)["reason"] == "approval_inconsistent"
    assert engine.disagreement(wrong)


def test_signatures_of_what_the_approval_says_count():
    signed = replace(FULL, signatures=tuple(replace(s, digest=engine.digest(FULL)) for s in FULL.signatures))
    assert told(signed)["decision"] == "valid"


def test_the_response_byte_for_byte():
    assert decide({PARTIAL.approval_id: PARTIAL}, Request("APP-100003-partial"), BEFORE) == (
        '{"contract":"sensitive.check.2b","approval_id":"APP-100003-partial","decision":"deny","reason":"dual_signers_required",'
        '"state":"signed_partial","ttl_state":"not-applicable","required_signer_count":2,"signature_count":1,"valid_until":null,'
        '"evaluated_at":"2026-11-23T20:00:00.000000Z","meta":{"operator_alert":false,"precedence":9,"requestable":true},'
        '"audit":{"event_type":"sensitive.check.2b","audit_id":null,"sink_status":"deferred"}}'
    )


@pytest.mark.parametrize("asked", [None, "", 'é"\\\n\x01\x7f/\u2028\U0001f4a5'])
def test_what_is_not_found_is_null(asked):
    answer = decide({}, Request(asked), BEFORE)
    assert json.loads(answer)["approval_id"] == asked
    assert (
        '"state":null,"ttl_state":null,"required_signer_count":null,"signature_count":null,"valid_until":null' in answer
    )
    assert asked is None or asked == "" or '"é\\"\\\\\\n\\u0001\x7f/\u2028\U0001f4a5"' in answer


@pytest.mark.parametrize(
    "approval_id, expected",
    [
        ("APP-123456-a", True),
        ("APP-000000-" + "z" * 53, True),
        ("APP-000000-" + "z" * 54, False),
        ("APP-123456-", False),
        ("APP-12345-a", False),
        ("APP-1234567-a", False),
        ("APP-123456-A", False),
        ("app-123456-a", False),
        ("APP-123456-a ", False),
        ("APP-123456-a\n", False),
        ("APP-١٢٣٤٥٦-a", False),
        ("APP-123456-é", False),
        ("", False),
        (None, False),
    ],
)
def test_the_grammar_of_ids(approval_id, expected):
    assert engine.well_formed(approval_id) is expected


@pytest.mark.parametrize("argument, limit", [("action", 256), ("resource", 2048)])
def test_an_argument_over_its_limit_in_bytes_is_an_error(argument, limit):
    decide({}, Request("x", **{argument: "é" * (limit // 2)}), BEFORE)
    with pytest.raises(OverLimit, match=f"{limit + 1} bytes"):
        decide({}, Request("x", **{argument: "é" * (limit // 2) + "x"}), BEFORE)


def test_the_digest_is_of_every_field_with_its_length():
    def field(text):
        return len(text).to_bytes(4, "big") + text

    approval = replace(FULL, resource=None, required_roles=("opérations", "b"))
    assert (
        engine.digest(approval)
        == hashlib.sha256(
            field(b"APP-100002-dual")
            + field(b"payout.execute")
            + b"\xff\xff\xff\xff"
            + b"\0\0\0\x02"
            + field("opérations".encode())
            + field(b"b")
            + field(b"ann")
            + field(b"2026-11-24T20:00:00.000000Z")
        ).digest()
    )


# -- properties -------------------------------------------------------------------------------------------------------

INSTANTS = st.datetimes(timezones=st.just(UTC))
NAMES = st.sampled_from(("a", "b", "é", "ann", "")) | st.text(st.characters(codec="utf-8"), max_size=6)
SIGNATURES = st.builds(Signature, NAMES, NAMES, st.none() | st.binary(min_size=32, max_size=32))
APPROVALS = st.builds(
    Approval,
    st.just("APP-000001-a"),
    NAMES,
    st.none() | NAMES,
    st.lists(NAMES, max_size=9).map(tuple),
    st.integers(-2, 10),
    NAMES,
    st.sampled_from(engine.STATES) | NAMES,
    INSTANTS,
    st.none() | INSTANTS,
    st.lists(SIGNATURES, max_size=9).map(tuple),
)
unhurried = settings(deadline=None)
REQUESTS = st.builds(Request, st.just("APP-000001-a") | st.none() | NAMES, st.none() | NAMES, st.none() | NAMES)


@unhurried
@given(APPROVALS, REQUESTS, INSTANTS)
def test_every_request_has_one_answer_and_deny_unless_all_is_in_order(approval, request, at):
    answer = json.loads(decide({approval.approval_id: approval}, request, at))
    assert 1 <= answer["meta"]["precedence"] <= 10
    assert (
        (answer["decision"] == "valid")
        == (answer["meta"]["precedence"] == 10)
        == (answer["reason"] is None)
        == (answer["valid_until"] is not None)
    )
    assert answer["meta"]["requestable"] == (answer["meta"]["precedence"] == 9)
    assert answer["meta"]["operator_alert"] == (answer["meta"]["precedence"] in (4, 7))
    if answer["decision"] == "valid":
        assert (
            answer["ttl_state"] == "valid"
            and approval.state == "signed_full"
            and approval.closed_at is None
            and at < approval.sla_deadline
        )
        assert len(approval.signatures) == len(approval.required_roles) == approval.required_signer_count
        assert {s.signer_role for s in approval.signatures} == set(approval.required_roles)
        assert approval.requested_by not in {s.signer for s in approval.signatures}


@unhurried
@given(APPROVALS.filter(lambda a: a.state != "signed_full"), INSTANTS)
def test_no_other_state_is_ever_valid(approval, at):
    assert told(approval, at)["decision"] == "deny"


@unhurried
@given(APPROVALS.filter(lambda a: a.state not in engine.STATES), INSTANTS)
def test_an_unforeseen_state_is_inconsistent_or_closed(approval, at):
    assert told(approval, at)["reason"] in ("approval_inconsistent", "approval_withdrawn")


@unhurried
@given(st.sampled_from(engine.STATES), INSTANTS, INSTANTS, INSTANTS)
def test_ttl_only_moves_forward(state, deadline, one, other):
    order = {"valid": 0, "expired": 1, "stale": 2}
    earlier, later = (engine.ttl_state(state, None, deadline, at) for at in sorted((one, other)))
    assert (
        (earlier == later == "not-applicable") if state == "withdrawn" else order.get(earlier, 0) <= order.get(later, 0)
    )


@unhurried
@given(APPROVALS, APPROVALS)
def test_a_digest_tells_approvals_apart(one, other):
    def signed(a):
        return a.approval_id, a.action, a.resource, a.required_roles, a.requested_by, a.sla_deadline

    assert (engine.digest(one) == engine.digest(other)) == (signed(one) == signed(other))


@unhurried
@given(APPROVALS, REQUESTS, INSTANTS)
def test_an_explanation_names_the_rule_that_decides(approval, request, at):
    store = {approval.approval_id: approval}
    precedence = json.loads(decide(store, request, at))["meta"]["precedence"]
    assert engine.explain(store, request, at).startswith(f"rule {precedence}, ")
