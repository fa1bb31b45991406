"""A valid answer may be repeated for a moment: with an event of its own, and never when it may be out of date."""

import asyncio
import json
import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from admin_client import Settings, Source, SpoolError
from admin_client.cache import Cache
from admin_client.decision import read_answer
from admin_client.refresh import MOST_APPROVALS, Subscriber
from harness import (
    REDIS,
    REDIS_URL,
    approval,
    ask,
    client,
    kill_redis,
    paused,
    pid_of,
    sql,
    start_redis,
    trail_locked,
    until,
    withdraw,
)

ANSWER = (
    '{"contract":"sensitive.check.2b","approval_id":"A","decision":"valid","reason":null,"valid_until":"2100-01-01T00:00:00.000000Z",'
    '"evaluated_at":"2026-11-26T00:10:00.123456Z","audit":{"audit_id":"4711"}}'
)
KEY = ("A", "pay", None)


async def until_cached(admin, approval_id):
    """Until an answer is repeated: Redis is heard."""
    deadline = time.monotonic() + 15
    while (decision := await ask(admin, approval_id)).source is not Source.CACHE:
        assert time.monotonic() < deadline, decision
        await asyncio.sleep(0.02)
    return decision


async def test_by_default_nothing_is_repeated(spool):
    approval_id = approval()
    async with client(**spool) as admin:
        assert {(await ask(admin, approval_id)).source for _ in range(5)} == {Source.SERVER}


async def test_a_repeated_answer_has_an_event_of_its_own(path, spool):
    approval_id = approval()
    async with client(path, cache_seconds=60, **spool) as admin:
        first = await ask(admin, approval_id)
        again = await ask(admin, approval_id, request_id="r-2")
        assert first.source is Source.SERVER and again.source is Source.CACHE and again
        assert (again.audit_id, again.response, again.valid_until) == (
            first.audit_id,
            first.response,
            first.valid_until,
        )
        assert await admin.flush(10)
        assert sql(
            """select payload from admin.audit where approval_id = %s and event_type = 'ingest.ptt.ff.check.cached' and source = %s and actor = 'FF' and request_id = 'r-2'""",
            approval_id,
            spool["source"],
        ) == {
            "audit_id": str(first.audit_id),
            "approval_id": approval_id,
            "action": "pay",
            "resource": "account 7",
            "evaluated_at": first.response["evaluated_at"],
            "valid_until": first.response["valid_until"],
        }


async def test_denials_and_answers_to_other_questions_are_not_repeated(spool):
    approval_id, unsigned = approval(), approval(signed=False)
    async with client(cache_seconds=60, **spool) as admin:
        assert await ask(admin, approval_id)
        for question in (("pay", None), (None, "account 7"), (None, None)):
            assert (await admin.check(approval_id, *question)).source is Source.SERVER
        assert (await admin.check(approval_id, "steal", "account 7")).reason == "action_mismatch"
        assert (await admin.check(approval_id, "pay", "account 7", token="no token")).source is Source.CLIENT
        assert [(await ask(admin, unsigned)).source for _ in range(2)] == [Source.SERVER] * 2
        sql("insert into admin.signature (approval_id, signer_role, signer) values (%s, 'r', 'ann')", unsigned)
        assert await ask(admin, unsigned)


async def test_an_answer_is_repeated_not_beyond_valid_until(spool):
    approval_id = approval(datetime.now(UTC) + timedelta(seconds=1.5))
    async with client(cache_seconds=60, **spool) as admin:
        valid_until = (await ask(admin, approval_id)).valid_until
        repeated = 0
        while True:
            asked_at = datetime.now(UTC)
            if not (decision := await ask(admin, approval_id)):
                break
            assert decision.source is Source.CACHE and asked_at < valid_until
            repeated += 1
            await asyncio.sleep(0)
        assert repeated > 1 and decision.reason == "approval_expired" and decision.source is Source.SERVER


async def test_an_answer_is_repeated_not_for_longer_than_configured(spool):
    approval_id = approval()
    async with client(cache_seconds=0.3, **spool) as admin:
        asked_at = {}
        ends_at = time.monotonic() + 2
        while time.monotonic() < ends_at:
            at = time.monotonic()
            decision = await ask(admin, approval_id)
            assert at - asked_at.setdefault(decision.audit_id, at) < 0.3
        assert len(asked_at) > 1


async def test_a_change_that_is_heard_drops_the_answer(spool):
    approval_id, other = approval(), approval()
    async with client(cache_seconds=60, redis_url=REDIS_URL, **spool) as admin:
        await until_cached(admin, approval_id)
        await until_cached(admin, other)
        withdraw(approval_id)
        await until(lambda: not admin._cache._answers.get(approval_id))
        assert (await ask(admin, approval_id)).reason == "approval_withdrawn"
        assert (await ask(admin, other)).source is Source.CACHE


async def test_nothing_is_repeated_while_redis_is_not_heard(spool):
    approval_id = approval()
    async with client(cache_seconds=60, redis_url=REDIS_URL, redis_silence=0.3, backoff_seconds=0.5, **spool) as admin:
        await until_cached(admin, approval_id)
        try:
            kill_redis()
            await until(lambda: not admin._cache.is_on)
            assert {(await ask(admin, approval_id)).source for _ in range(10)} == {Source.SERVER}
            withdraw(approval_id)
            assert (await ask(admin, approval_id)).reason == "approval_withdrawn"
        finally:
            start_redis()
        await until_cached(admin, approval())


async def test_a_redis_that_stands_still_is_noticed(spool):
    approval_id = approval()
    async with client(cache_seconds=60, redis_url=REDIS_URL, redis_silence=0.3, backoff_seconds=0.5, **spool) as admin:
        await until_cached(admin, approval_id)
        with paused([pid_of(REDIS / "pid")]):
            await until(lambda: not admin._cache.is_on, 2)
            assert (await ask(admin, approval_id)).source is Source.SERVER
        await until_cached(admin, approval_id)


async def test_a_redis_that_is_not_there(spool):
    approval_id = approval()
    async with client(cache_seconds=60, redis_url="redis://127.0.0.1:1", **spool) as admin:
        assert {(await ask(admin, approval_id)).source for _ in range(5)} == {Source.SERVER}


async def test_a_message_that_makes_no_sense_drops_all(spool):
    approval_id = approval()
    async with client(cache_seconds=60, redis_url=REDIS_URL, **spool) as admin:
        await until_cached(admin, approval_id)
        assert (
            os.system(f"redis-cli -p {REDIS_URL.rsplit(':')[-1]} publish approval_ttl_refresh nonsense >/dev/null") == 0
        )
        await until(lambda: not admin._cache._answers)
        await until_cached(admin, approval_id)


async def test_an_answer_is_repeated_while_the_server_is_held_up(spool):
    approval_id = approval()
    async with client(cache_seconds=60, **spool) as admin:
        assert await ask(admin, approval_id)
        with trail_locked():
            assert (await ask(admin, approval_id)).source is Source.CACHE
            assert not await admin.flush(0.3)
        assert await admin.flush(10)


async def test_the_server_is_asked_where_a_repeated_answer_cannot_be_recorded(spool, monkeypatch):
    approval_id = approval()
    async with client(cache_seconds=60, **spool) as admin:
        assert await ask(admin, approval_id)

        async def full(event):
            raise SpoolError("disk full")

        monkeypatch.setattr(admin._spool, "append", full)
        assert (await ask(admin, approval_id)).source is Source.SERVER
        monkeypatch.undo()
        assert (await ask(admin, approval_id)).source is Source.CACHE
        assert (await ask(admin, approval_id, request_id="r" * 257)).source is Source.CLIENT


def kept(cache, asked_at, asked_at_wall=None):
    cache.keep(KEY, ANSWER, read_answer(ANSWER, "A"), asked_at, time.time() if asked_at_wall is None else asked_at_wall)
    return cache.get(KEY) is not None


def test_an_answer_that_a_change_has_overtaken_is_not_kept():
    cache = Cache(60, 1, heard=True)
    asked_at = time.monotonic()
    cache.drop("A")  # heard before the answer came
    assert not kept(cache, asked_at)
    cache.drop("B")
    assert kept(cache, time.monotonic())


def test_an_answer_to_a_question_from_before_redis_was_heard_is_not_kept():
    cache = Cache(60, 1, heard=False)
    assert not cache.is_on and not kept(cache, time.monotonic())
    asked_at = time.monotonic()
    cache.hear(True)
    assert not kept(cache, asked_at) and kept(cache, time.monotonic())
    cache.hear(False)
    assert cache.get(KEY) is None and not kept(cache, time.monotonic())


@pytest.mark.parametrize("wall", [-3600, 61])
def test_an_answer_is_not_kept_when_the_clock_was_set(wall):
    cache = Cache(60, 1, heard=True)
    assert not kept(cache, time.monotonic(), time.time() - wall)


def test_the_cache_stays_small():
    cache = Cache(60, 0.001, heard=True)
    for n in range(20_000):
        cache.keep((f"A{n}", None, None), ANSWER, read_answer(ANSWER, "A"), time.monotonic(), time.time())
        cache.drop(f"B{n}")
    assert len(cache._answers) == 10_000 and len(cache._changed) < 5000


@pytest.mark.parametrize(
    "wrong",
    [
        {"cache_seconds": 1},
        {"cache_seconds": -1},
        {"spool": "x"},
        {"source": "/ff"},
        {"spool": "x", "source": "/admin_ext/1"},
        {"spool": "x", "source": ""},
        {"budget": 0},
        {"connections": -1},
        {"budget": float("nan")},
    ],
    ids=lambda wrong: "-".join(map(str, sum(wrong.items(), ()))),
)
def test_settings_that_do_not_go_together(wrong):
    with pytest.raises(ValueError):
        Settings(dsn="postgresql:///", **wrong)


def told(subscriber, **members):
    subscriber._take(
        {"type": "message", "data": json.dumps({"approval_id": "A", "ttl_state": "not-applicable", **members})}
    )


def is_kept(cache):
    return kept(cache, time.monotonic())


async def test_a_message_that_comes_again_drops_nothing_and_another_stores_does():
    """Two databases share a channel, and have approvals and numbers of the same names."""
    cache = Cache(60, 1, heard=False)
    subscriber = Subscriber(Settings(dsn="postgresql:///", redis_url=REDIS_URL), cache)
    subscriber._take({"type": "subscribe"})
    told(subscriber, store="s1", database="payments", audit_id="8")
    assert is_kept(cache)
    told(subscriber, store="s1", database="payments", audit_id="8")
    told(subscriber, store="s1", database="payments", audit_id="7")
    assert cache.get(KEY) is not None, "published again"
    for members in (
        {"store": "s2", "database": "treasury", "audit_id": "8"},
        {"store": "s2", "database": "treasury", "audit_id": "10"},
        {"store": "s1", "database": "payments", "audit_id": "10"},
        {"audit_id": "3"},
        {"audit_id": "3"},
        {"store": "s3", "audit_id": "x"},
        {"store": "s3"},
    ):
        assert is_kept(cache)
        told(subscriber, **members)
        assert cache.get(KEY) is None, members
    subscriber._take({"type": "subscribe"})
    assert is_kept(cache)
    told(subscriber, store="s1", database="payments", audit_id="8")
    assert cache.get(KEY) is None, "nothing is remembered of before a pause"


def test_messages_are_remembered_of_a_limited_number_of_approvals():
    subscriber = Subscriber(Settings(dsn="postgresql:///", redis_url=REDIS_URL), Cache(60, 1, heard=True))
    for n in range(MOST_APPROVALS + 100):
        told(subscriber, store="s", approval_id=f"A{n}", audit_id=str(n))
    assert len(subscriber._taken) == MOST_APPROVALS
