"""The short way through a decision says what the long way says, whatever the document: it may only be quicker."""

import json
from datetime import timedelta
from unittest import mock

import pytest
from admin_client.parity import engine, instant
from admin_client.verify import document, quick
from admin_client.verify.report import Stream
from evidence_sources import STORE, Writer, compact
from hypothesis import given, settings, strategies as st
from test_verify_forms import TOKEN, paths, read

APPROVAL = "APP-100001-x"
ACTIONS, RESOURCES = ["payout", "other", None, "", "é", 'a"b', "pay\tout"], ["account 7", "account 8", None, "{}"]


def story(deadline: str | None = None) -> list[bytes]:
    """An approval with decisions in each of its states."""
    writer = Writer()
    documents = [writer.issue(APPROVAL)]
    if deadline is not None:
        documents = [documents[0].replace(writer.rows[APPROVAL]["sla_deadline"].encode(), deadline.encode())]
        writer.rows[APPROVAL]["sla_deadline"] = deadline
    with mock.patch.object(Writer, "approval", approval):
        for step in (
            list,
            lambda: writer.sign(APPROVAL, "finance", "ann"),
            lambda: writer.sign(APPROVAL, "legal", "eve"),
            lambda: [writer.withdraw(APPROVAL)],
        ):
            documents += [
                *step(),
                *(check(writer, action, resource) for action in ACTIONS[:3] for resource in RESOURCES),
            ]
    return documents


def approval(writer: Writer, approval_id: str) -> engine.Approval:
    """As the writer makes it, with instants that reach beyond the year 9999."""
    row, signatures = writer.rows[approval_id], writer.signatures[approval_id]
    closed = row["closed_at"]
    return engine.Approval(
        approval_id,
        row["action"],
        row["resource"],
        tuple(row["required_roles"]),
        row["required_signer_count"],
        row["requested_by"],
        row["state"],
        instant.parse(row["sla_deadline"]),
        closed and instant.parse(closed),
        tuple(engine.Signature(s["signer_role"], s["signer"]) for s in signatures),
    )


def check(writer: Writer, action: str | None, resource: str | None) -> bytes:
    """A decision as of the writer's clock."""
    at = instant.parse(engine.rfc3339(writer.clock))
    response = json.loads(
        engine.decide({APPROVAL: approval(writer, APPROVAL)}, engine.Request(APPROVAL, action, resource, None), at)
    )
    response["audit"].update(audit_id=str(writer.audit_id), sink_status="pending")
    return writer.event(
        "sensitive.check.2b",
        APPROVAL,
        {**response, "request": {"action": action, "resource": resource, "token": None}},
        "FF",
    )


def both(documents: list[bytes], first: int = 1) -> tuple[Stream, int]:
    """What the replay says, which has to be the same either way, and how many documents it read the long way."""
    with mock.patch.object(document, "read", wraps=document.read) as long_way:
        one = read(documents, first)
    with mock.patch.object(quick, "decision", return_value=None):
        two = read(documents, first)
    assert (one.findings.kept, one.findings.counts, one.decisions, one.unknown_decisions, one.approvals) == (
        two.findings.kept,
        two.findings.counts,
        two.decisions,
        two.unknown_decisions,
        two.approvals,
    )
    return one, long_way.call_count


STORY = story()
DECISIONS = [number for number, each in enumerate(STORY) if b"sensitive.check.2b" in each]


def test_honest_decisions_go_the_short_way():
    stream, long_way = both(STORY)
    assert not stream.findings.kept and stream.decisions == len(DECISIONS) and long_way == len(STORY) - len(DECISIONS)


def test_decisions_with_a_token_and_a_request_id_go_the_short_way():
    with_token = [
        each.replace(b'"token":null', b'"token":' + compact(TOKEN).encode()).replace(
            b'"actor":"FF"', b'"actor":"FF","traceparent":"00-ab","requestid":"r 1"'
        )
        for each in STORY
    ]
    assert sum(one != two for one, two in zip(STORY, with_token)) == len(DECISIONS)
    stream, long_way = both(with_token)
    assert not stream.findings.kept and long_way == len(STORY) - len(DECISIONS)


@pytest.mark.parametrize(
    "deadline",
    [
        "2026-11-01T00:00:05.000000Z",
        "2026-10-31T00:00:20.000000Z",
        "9999-12-31T12:00:00.000000Z",
        "+10000-01-01T00:00:00.000000Z",
        "+294276-12-31T23:59:59.999999Z",
        "0000-02-29T00:00:00.000000Z",
        "-0044-03-15T00:00:00.000000Z",
        "-4712-01-01T00:00:00.000000Z",
    ],
)
def test_a_deadline_may_be_in_any_year_that_the_database_has(deadline):
    """In the story, decisions lie before, at and behind the first two, and behind the second by a day."""
    documents = story(deadline)
    stream, long_way = both(documents)
    assert not stream.findings.kept, stream.findings.kept
    assert long_way == len(STORY) - len(DECISIONS)
    forged = documents[DECISIONS[0]].replace(b'"precedence":', b'"precedence":1')
    assert both([*documents[: DECISIONS[0]], forged, *documents[DECISIONS[0] + 1 :]])[0].findings.count("wrong")


@pytest.mark.parametrize("number", [DECISIONS[0], DECISIONS[-1]])
def test_each_byte_of_a_decision_counts(number):
    """Whatever byte is changed: both ways say the same of it."""
    said = set()
    for at in range(len(STORY[number])):
        changed = bytearray(STORY[number])
        changed[at] = changed[at] + 1 if changed[at] not in b"~" else 32
        said.add(bool(both([*STORY[:number], bytes(changed), *STORY[number + 1 :]])[0].findings.kept))
    assert said == {True, False}  # an actor may have any name


SNIPPETS = st.sampled_from(
    [
        b'"',
        b"\\",
        b"\\u0041",
        b"null",
        b"{",
        b"}",
        b"\xff",
        b"\xc3\xa9",
        b",",
        b"0",
        b"9",
        b"-",
        b"\0",
        b"\t",
        b" ",
        b'"a":1,',
        b"valid",
        b"deny",
        b"payout",
        b"other",
        b"account 8",
        b"2026",
        b"T24",
        b"0000-",
    ]
)


@settings(max_examples=300, deadline=None)
@given(number=st.sampled_from(DECISIONS), at=st.integers(0, 2000), length=st.integers(0, 12), snippet=SNIPPETS)
def test_an_edited_decision_is_the_same_either_way(number, at, length, snippet):
    text = STORY[number]
    at %= len(text)
    both([*STORY[:number], text[:at] + snippet.replace(b"\n", b"") + text[at + length :], *STORY[number + 1 :]])


PATHS = list(paths(json.loads(STORY[DECISIONS[0]])))


@settings(max_examples=200, deadline=None)
@given(
    number=st.sampled_from(DECISIONS),
    other=st.sampled_from(DECISIONS),
    path=st.sampled_from(PATHS),
    ascii_only=st.booleans(),
)
def test_a_member_of_another_decision_is_the_same_either_way(number, other, path, ascii_only):
    event, source = json.loads(STORY[number]), json.loads(STORY[other])
    at = event
    for name in path[:-1]:
        at, source = at[name], source[name]
    at[path[-1]] = source[path[-1]]
    text = json.dumps(event, ensure_ascii=ascii_only, separators=(",", ":")).encode()
    both([*STORY[:number], text, *STORY[number + 1 :]])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"action":"payout"', b'"action":"\\u0070ayout"'),
        lambda text: text.replace(b'"action":"payout"', b'"action":"other"'),
        lambda text: text.replace(b'"action":"other"', b'"action":"\\u0070ayout"'),
        lambda text: text.replace(b"-01T", b"-31T"),
        lambda text: text.replace(b"T00:", b"T24:"),
        lambda text: text.replace(STORE.encode(), STORE[::-1].encode()),
        lambda text: text.replace(b'"auditid":"2"', b'"auditid":"02"'),
        lambda text: text + b" ",
    ],
)
def test_odd_decisions_are_the_same_either_way(change):
    assert any(change(STORY[number]) != STORY[number] for number in DECISIONS)
    both([change(each) if number in DECISIONS else each for number, each in enumerate(STORY)])


def test_a_decision_that_comes_again_is_the_same_either_way():
    number = DECISIONS[3]
    again, other = STORY[number], STORY[number].replace(b'"actor":"FF"', b'"actor":"FG"')
    assert (
        both([*STORY, again])[0].findings.kept[0].code == "again"
        and both([*STORY, other])[0].findings.kept[0].code == "rewritten"
    )
    assert both([*STORY, STORY[-1]])[0].findings.kept[0].code == "again"
    assert both([*STORY[:number], *STORY[number + 1 :], STORY[number]])[0].findings.kept


def test_a_decision_on_an_approval_that_began_elsewhere_is_the_same_either_way():
    assert both(STORY[1:], first=2)[0].unknown_decisions


# -- the engine ---------------------------------------------------------------------------------------------------------

ROLES, PEOPLE = st.sampled_from(["finance", "legal", "board"]), st.sampled_from(["ann", "eve", "boss"])
BEGIN = instant.parse("2026-11-01T00:00:00.000000Z")
MOMENTS = st.sampled_from(
    [
        -timedelta(days=2),
        -timedelta(microseconds=1),
        timedelta(0),
        timedelta(microseconds=1),
        timedelta(hours=24),
        timedelta(hours=24, microseconds=1),
        timedelta(days=9),
    ]
)
APPROVALS = st.builds(
    engine.Approval,
    approval_id=st.just(APPROVAL),
    action=st.sampled_from(["payout", "other", "é"]),
    resource=st.sampled_from(RESOURCES),
    required_roles=st.lists(ROLES, max_size=3).map(tuple),
    required_signer_count=st.integers(0, 3),
    requested_by=PEOPLE,
    state=st.sampled_from(engine.STATES),
    sla_deadline=st.just(BEGIN),
    closed_at=st.sampled_from([None, None, BEGIN]),
    signatures=st.lists(st.builds(engine.Signature, ROLES, PEOPLE, st.sampled_from([None, b"x"])), max_size=3).map(
        tuple
    ),
)


@settings(max_examples=1000, deadline=None)
@given(
    approval=APPROVALS,
    action=st.sampled_from(["payout", "other", None]),
    resource=st.sampled_from(RESOURCES),
    moment=MOMENTS,
    forged=st.sampled_from(["", "valid", "9", "null"]),
)
def test_what_is_expected_is_what_the_engine_answers(approval, action, resource, moment, forged):
    """Answers are kept by what they depend on: nothing may be missing in that."""
    at = BEGIN + moment
    facts = engine.gather({APPROVAL: approval}, engine.Request(APPROVAL, action, resource), at)
    text = engine.response(facts, engine.first_match(facts), at)
    if forged:
        text = text.replace('"deny"', f'"{forged}"', 1).replace('"precedence":', f'"precedence":{forged[:1]}', 1)
    form = quick._RESPONSE.fullmatch(text.encode())
    assert form is not None
    begin = text[text.index('"decision":') : text.index('"meta":')].encode() + b'"meta":'
    found = quick.Decision(
        b"7",
        STORE.encode(),
        APPROVAL.encode(),
        engine.rfc3339(at).encode(),
        begin,
        form[3],
        compact(action).encode(),
        compact(resource).encode(),
    )
    assert quick.Expected(approval, engine.disagreement(approval) is None).is_said_by(found) == (not forged)
