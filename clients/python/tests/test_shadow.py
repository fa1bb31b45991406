"""Shadow mode: the file-backed engine's answer goes along, and the database says where its own differs."""

import asyncio
import json
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from admin_client import Reason
from admin_client.parity import engine
from admin_client.parity.compare import compare
from harness import approval, ask, client, sql, trail_locked, until


def file_backed(approval_id, at=None, **more):
    """The other engine's answer, of an approval made by harness.approval()."""
    at = at or datetime.now(UTC)
    signatures = [engine.Signature("r", "ann")] if more.get("signed", True) else []
    known = engine.Approval(
        approval_id=approval_id,
        action="pay",
        resource="account 7",
        required_roles=("r",),
        required_signer_count=1,
        requested_by="boss",
        state="signed_full" if signatures else "pending",
        sla_deadline=more.get("deadline", datetime(2100, 1, 1, tzinfo=UTC)),
        closed_at=None,
        signatures=tuple(signatures),
    )
    return engine.decide({approval_id: known}, engine.Request(approval_id, "pay", "account 7"), at)


def compared(decision):
    """What is recorded of an answer."""
    return sql("select to_jsonb(c) from admin.shadow_check as c where audit_id = %s", decision.audit_id)


async def test_the_same_answer_is_no_difference(path):
    approval_id = approval()
    async with client(path) as admin:
        decision = await ask(admin, approval_id, file_answer=file_backed(approval_id))
        denied = await ask(admin, (unsigned := approval(signed=False)), file_answer=file_backed(unsigned, signed=False))
    assert decision and not denied and denied.reason == "signature_required"
    for answer in (decision, denied):
        row = compared(answer)
        assert row["differing"] is None and row["file_answer"] is None and row["database_answer"] is None
        assert sql("select payload::text from admin.audit where audit_id = %s", answer.audit_id)


def changed(text, **members):
    return json.dumps({**json.loads(text), **members}, separators=(",", ":"))


@pytest.mark.parametrize(
    "name, change, differing",
    [
        (
            "another reason",
            lambda text: changed(text, decision="deny", reason="approval_expired"),
            ["decision", "reason"],
        ),
        ("another state", lambda text: text.replace('"signed_full"', '"pending"'), ["state"]),
        ("a member less", lambda text: text.replace('"signature_count":1,', ""), ["signature_count"]),
        ("a member more", lambda text: text[:-1] + ',"more":1}', ["more"]),
        (
            "another order",
            lambda text: json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":")),
            ["order"],
        ),
        ("white space", lambda text: text.replace(":", ": ", 1), ["text"]),
        ("the same escaped", lambda text: text.replace('"valid"', '"val\\u0069d"', 1), ["decision"]),
        (
            "a key twice",
            lambda text: text.replace('"decision":"valid"', '"decision":"valid","decision":"valid"'),
            ["decision"],
        ),
        ("no JSON", lambda text: text[:-1], ["text"]),
        ("no object", lambda text: "[1]", ["text"]),
        ("nothing", lambda text: "", ["text"]),
        ("null", lambda text: "null", ["text"]),
        ("half a surrogate pair", lambda text: text.replace('"valid"', '"\\ud800"', 1), ["text"]),
        ("nested", lambda text: "[" * 20000, ["text"]),
        ("large", lambda text: changed(text, state="x" * 100_000), ["state"]),
    ],
)
async def test_differences_are_named(path, name, change, differing):
    approval_id = approval()
    async with client(path) as admin:
        decision = await ask(admin, approval_id, file_answer=change(file_backed(approval_id)))
    row = compared(decision)
    assert decision and row["differing"] == differing, row
    assert len(row["file_answer"]) <= 8192
    assert json.loads(row["database_answer"])["decision"] == "valid"


async def test_what_is_excepted_may_differ(path):
    approval_id = approval()
    text = changed(
        file_backed(approval_id),
        evaluated_at="2000-01-01T00:00:00.000000Z",
        audit={"event_type": "x", "audit_id": None, "sink_status": "written"},
    )
    async with client(path) as admin:
        assert compared(await ask(admin, approval_id, file_answer=text))["differing"] is None


async def test_a_deadline_between_the_two_clocks_is_no_difference(path):
    """The file-backed engine has looked a moment before the deadline, the database a moment after."""
    deadline = datetime.now(UTC) + timedelta(seconds=0.7)
    approval_id = approval(deadline=deadline.isoformat())
    before = file_backed(approval_id, deadline - timedelta(microseconds=1), deadline=deadline)
    await asyncio.sleep(
        max(0, (deadline - datetime.now(UTC)).total_seconds()) + 0.01
    )  # the deadline itself is what is waited for
    async with client(path) as admin:
        decision = await ask(admin, approval_id, file_answer=before)
        old = await ask(admin, approval_id, file_answer=changed(before, evaluated_at="2026-01-01T00:00:00.000000Z"))
    assert decision.reason == old.reason == "approval_expired" and json.loads(before)["decision"] == "valid"
    assert compared(decision)["differing"] is None
    assert compared(old)["differing"] == ["decision", "reason", "ttl_state", "valid_until", "meta"], (
        "long ago is no excuse"
    )


async def test_a_check_without_an_answer_records_no_row():
    approval_id = approval()
    before = sql("select count(*) from admin.shadow_check")
    async with client() as admin:
        refused = await ask(admin, approval_id, file_answer="{}", token="no token")
        with trail_locked():
            late = await ask(admin, approval_id, file_answer="{}")
            # Let go before the server has heard that it is given up, it would go on.
            await until(
                lambda: (
                    sql("select count(*) from pg_stat_activity where usename = 'ff' and wait_event_type = 'Lock'") == 0
                ),
                10,
            )
    assert refused.reason == Reason.CALL_REFUSED and late.reason == Reason.TIMEOUT
    assert sql("select count(*) from admin.shadow_check") == before


async def test_a_shadow_check_is_not_answered_from_the_cache(spool):
    approval_id = approval()
    async with client(cache_seconds=60, **spool) as admin:
        assert (await ask(admin, approval_id)).source == "server" and (await ask(admin, approval_id)).source == "cache"
        decision = await ask(admin, approval_id, file_answer=file_backed(approval_id))
    assert decision.source == "server" and compared(decision)["differing"] is None


async def test_many_at_once(path):
    ids = [approval() for _ in range(20)]
    async with client(path) as admin:
        answers = await asyncio.gather(
            *(ask(admin, i, file_answer=file_backed(i) if n % 2 else "{}") for n, i in enumerate(ids))
        )
    assert all(answers) and [bool(compared(answer)["differing"]) for answer in answers] == [
        n % 2 == 0 for n in range(20)
    ]


async def test_a_difference_is_settled_once():
    approval_id = approval()
    async with client() as admin:
        decision = await ask(admin, approval_id, file_answer="{}")
    shadow_id = sql("select shadow_id from admin.shadow_difference where audit_id = %s", decision.audit_id)
    sql("select admin.settle_shadow_difference(%s, 'the file store was being written')", shadow_id)
    assert sql("select count(*) from admin.shadow_difference where shadow_id = %s", shadow_id) == 0
    assert (
        sql("select reason from admin.shadow_settled where shadow_id = %s", shadow_id)
        == "the file store was being written"
    )
    with pytest.raises(Exception, match="does not exist"):
        sql("select admin.settle_shadow_difference(%s, 'again')", shadow_id)
    with pytest.raises(Exception, match="out of range"):
        sql("select admin.settle_shadow_difference(%s, '')", shadow_id)


async def test_a_comparison_that_fails_takes_no_answer_away():
    approval_id = approval()
    sql("alter table admin.shadow_check rename to away")
    try:
        async with client() as admin:
            decision = await ask(admin, approval_id, file_answer="{}")
    finally:
        sql("alter table admin.away rename to shadow_check")
    assert decision and sql("select count(*) from admin.audit where audit_id = %s", decision.audit_id) == 1


def mutated(text, chance):
    """An answer with a thing or two done to it."""
    pairs = re.findall(r'("\w+":(?:"[^"]*"|\{[^}]*\}|[^,}]*))[,}]', text)
    for _ in range(chance.randint(0, 2)):
        where = chance.randrange(len(pairs))
        match chance.randrange(7):
            case 0:
                pairs.insert(chance.randrange(len(pairs)), pairs.pop(where))
            case 1:
                pairs.insert(chance.randrange(len(pairs)), pairs[where])
            case 2 if len(pairs) > 1:
                pairs.pop(where)
            case 3:
                pairs[where] = pairs[where].replace(":", chance.choice([": ", " :", ":\t"]), 1)
            case 4:
                pairs[where] = (
                    pairs[where].split(":")[0]
                    + ":"
                    + chance.choice(['"x"', "null", "7", "7.0", "{}", "[1, 2]", '"\\u00e9"'])
                )
            case 5:
                pairs[where] = pairs[where].replace("e", "\\u0065", 1)
            case 6:
                pairs.append('"é":' + chance.choice(["1", '"x"']))
    text = "{" + chance.choice([",", ",", ",", ", "]).join(pairs) + "}"
    if chance.random() < 0.2:
        place = chance.randrange(len(text))
        text = text[:place] + chance.choice('{}[]",:\\ \n0e') + text[place + chance.randrange(2) :]
    return text


def test_the_database_compares_as_the_parity_harness_does():
    """What both take for the same is the same."""
    seed = random.SystemRandom().randrange(1 << 30)
    chance, base = random.Random(seed), file_backed("APP-000001-a")
    texts = [mutated(base, chance) for _ in range(5000)]
    differs = sql(
        "select array_agg(admin_internal.answer_differences(t, %s) is not null order by n) from unnest(%s::text[]) with ordinality as u(t, n)",
        base,
        texts,
    )
    for text, differ in zip(texts, differs, strict=True):
        assert differ is bool(compare(base, text)), (seed, text)
    assert 200 < differs.count(False) and 2000 < differs.count(True)
