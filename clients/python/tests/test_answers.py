"""What a check answers while all is well, and what is told to whoever asks wrongly."""

import asyncio
import json
import re

import pytest
from admin_client import AdminClient, Reason, Settings, Source
from admin_client.decision import AnswerInvalid, read_answer
from harness import approval, ask, client, sessions, sql, timed, trail_locked, until, withdraw

CONTRACT_REASONS = {
    "approval_id_invalid",
    "approval_not_found",
    "approval_withdrawn",
    "approval_inconsistent",
    "action_mismatch",
    "resource_mismatch",
    "approval_expired",
    "dual_signers_required",
    "signature_required",
}


async def test_a_valid_answer_has_its_row(path):
    approval_id = approval()
    async with client(path) as admin:
        decision = await ask(admin, approval_id, request_id="r-1", traceparent="t-1")
        assert (
            decision and decision.decision == "valid" and decision.reason is None and decision.source is Source.SERVER
        )
        assert decision.valid_until.isoformat() == "2100-01-01T00:00:00+00:00"
        assert sql(
            "select payload::text from admin.audit where audit_id = %s and actor = 'FF' and request_id = 'r-1' and traceparent = 't-1'",
            decision.audit_id,
        ) == json.dumps(
            {**decision.response, "request": {"action": "pay", "resource": "account 7", "token": None}},
            separators=(",", ":"),
        )


async def test_a_deny_has_the_contracts_reason(path):
    approval_id = approval(signed=False)
    async with client(path) as admin:
        decision = await ask(admin, approval_id)
        assert (
            not decision
            and decision.reason == "signature_required"
            and decision.audit_id
            and decision.source is Source.SERVER
        )
        assert (await admin.check(None)).reason == "approval_id_invalid"
        assert (await admin.check("APP-000000-none")).reason == "approval_not_found"
        assert admin.breaker_state == "closed"


async def test_hundreds_at_once(path):
    approval_id, before = approval(), sessions()  # of the pooler
    async with client(path, connections=8, budget=30) as admin:
        decisions = await asyncio.gather(*(ask(admin, approval_id) for _ in range(300)))
        assert all(decisions) and len({decision.audit_id for decision in decisions}) == 300
        assert sessions() <= before + 8


@pytest.mark.parametrize(
    "wrong",
    [{"action": "a" * 257}, {"action": "a\0b"}, {"resource": "\ud800"}, {"action": 7}, {"token": "no token"}],
    ids=["long", "NUL", "surrogate", "no text", "token"],
)
async def test_a_bad_argument_is_the_callers_own(path, wrong):
    """However often it comes, the breaker stays closed for others."""
    approval_id = approval()
    async with client(path, breaker_failures=2) as admin:
        for _ in range(5):
            decision = await admin.check(approval_id, **wrong)
            assert (
                not decision
                and decision.reason is Reason.CALL_REFUSED
                and decision.detail
                and decision.source is Source.CLIENT
            )
        assert await ask(admin, approval_id)


async def test_a_cancelled_check_leaves_nothing_behind(path):
    approval_id = approval()
    async with client(path, connections=2, budget=30) as admin:
        assert await ask(admin, approval_id)
        with trail_locked():
            checks = [asyncio.create_task(ask(admin, approval_id, request_id="cancelled")) for _ in range(5)]
            await until(lambda: sessions("wait_event_type = 'Lock'") == 2)
            for check in checks:
                check.cancel()
            await asyncio.wait(checks)
            assert all(check.cancelled() for check in checks)
            await until(lambda: sessions("state = 'active'") == 0)
        decisions = await asyncio.gather(*(ask(admin, approval_id) for _ in range(20)))
        assert all(decisions) and admin.breaker_state == "closed"
        assert (
            sql("select count(*) from admin.audit where approval_id = %s and request_id = 'cancelled'", approval_id)
            == 0
        )


async def test_an_extension_that_is_altered_is_asked_anew():
    """A prepared statement outlives what it was prepared for."""
    approval_id = approval()
    async with client(connections=1) as admin:
        assert await ask(admin, approval_id)
        sql("alter function admin.sensitive_check rename to was_check")
        assert (await ask(admin, approval_id)).reason in (Reason.ERROR, None)
        sql("alter function admin.was_check rename to sensitive_check")
        assert await ask(admin, approval_id)


async def test_a_closed_client_denies():
    admin = AdminClient(Settings(dsn="postgresql:///"))
    assert (await admin.check("APP-000001-a")).reason is Reason.CLIENT_CLOSED
    async with admin:
        pass
    decision, seconds = await timed(admin.check("APP-000001-a"))
    assert decision.reason is Reason.CLIENT_CLOSED


async def test_a_withdrawal_is_seen_at_once_without_a_cache():
    approval_id = approval()
    async with client() as admin:
        assert await ask(admin, approval_id)
        withdraw(approval_id)
        assert (await ask(admin, approval_id)).reason == "approval_withdrawn"


def test_reasons_of_our_own_are_not_the_contracts():
    assert not CONTRACT_REASONS & set(Reason)


SOUND = (
    '{"contract":"sensitive.check.2b","approval_id":"A","decision":"valid","reason":null,"state":"signed_full","valid_until":"2100-01-01T00:00:00.000000Z",'
    '"evaluated_at":"2026-11-26T00:10:00.123456Z","audit":{"audit_id":"4711"}}'
)


def test_an_answer_of_the_contract_is_read():
    decision = read_answer(SOUND, "A")
    assert decision and decision.audit_id == 4711
    assert read_answer(SOUND.replace("2100-01-01", "294000-01-01"), "A").valid_until.year == 9999


@pytest.mark.parametrize(
    "changed",
    [
        ("sensitive.check.2b", "sensitive.check.3"),
        ('"valid"', '"yes"'),
        ('"valid"', '"deny"'),
        ("null", '"why"'),
        ('"A"', '"B"'),
        ('"4711"', "null"),
        ('"2100-01-01T00:00:00.000000Z"', "null"),
        ('"2100-01-01T00:00:00.000000Z"', '"soon"'),
        ("000000Z", "000000"),
        ('"audit"', '"audi"'),
        (SOUND, "[]"),
        (SOUND, ""),
        (SOUND, "null"),
        ("}}", "}"),
    ],
    ids=lambda pair: pair[1][:12],
)
def test_what_is_no_answer_is_no_yes(changed):
    with pytest.raises(AnswerInvalid):
        read_answer(re.sub(re.escape(changed[0]), changed[1], SOUND, count=1), "A")
