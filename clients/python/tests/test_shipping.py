"""What FF records is in the trail once, whoever is killed meanwhile, and no number is missing."""

import asyncio
import json
import os
import pathlib
import random
import sys

import asyncpg
import pytest
from admin_client import EventRefused, SpoolError
from admin_client.events import Event
from admin_client.pace import Pace
from admin_client.shipper import Shipper
from admin_client.spool import Spool
from harness import (
    PATHS,
    approval,
    client,
    kill_pooler,
    kill_server,
    slow_link,
    sql,
    start_pooler,
    start_server,
    trail_locked,
    until,
)

ROUNDS = int(os.environ.get("SHIPPING_ROUNDS", "5"))
QUICK = {"backoff_seconds": 0.5}


def ledger(source):
    """Ids in the trail, and how many gaps are open."""
    ids = sql(
        "select coalesce(array_agg(source_event_id order by audit_id), '{}') from admin.audit where source = %s", source
    )
    return ids, sql("select count(*) from admin.ingest_gap where source = %s and filled_at is null", source)


def as_promised(source, ids):
    """Each is there, once, without a gap."""
    found, gaps = ledger(source)
    assert len(found) == len(set(found)) and set(ids) <= set(found) and gaps == 0, (
        len(found),
        len(set(found)),
        len(set(ids) - set(found)),
        gaps,
    )
    return found


async def test_events_arrive_as_they_were_recorded(path, spool):
    approval_id = approval()
    async with client(path, **spool) as admin:
        ids = [
            await admin.record(
                "ptt.ff.approval.consumed",
                {"amount": n, "text": "\\u0000 é \U0001f600"},
                subject=approval_id,
                actor="FF",
                request_id="r",
                traceparent="t",
            )
            for n in range(3)
        ]
        assert await admin.flush(10)
        assert as_promised(spool["source"], ids) == ids
        assert sql(
            """select array_agg(array[event_type, approval_id, actor, request_id, traceparent, payload::text] order by audit_id) from admin.audit where source = %s""",
            spool["source"],
        ) == [
            [
                "ingest.ptt.ff.approval.consumed",
                approval_id,
                "FF",
                "r",
                "t",
                json.dumps({"text": "\\u0000 é \U0001f600", "amount": n}, ensure_ascii=False, separators=(",", ":")),
            ]
            for n in range(3)
        ]
        assert sql(
            "select array[first_sequence, last_sequence, accepted, duplicates, unexpected] from admin.ingest_source where source = %s",
            spool["source"],
        ) == [1, 3, 3, 0, 0]
        assert await admin._spool.count() == 0


async def test_thousands_in_batches(path, spool):
    async with client(path, **spool) as admin:
        ids = await asyncio.gather(*(admin.record("ptt.ff.done", {"n": n}) for n in range(5000)))
        assert await admin.flush(30)
        assert len(as_promised(spool["source"], ids)) == 5000


async def test_numbers_go_on_after_a_restart(spool):
    ids = []
    for _ in range(3):
        async with client(**spool) as admin:
            ids += [await admin.record("ptt.ff.done") for _ in range(3)]
            assert await admin.flush(10)
    assert sql(
        "select array[first_sequence, last_sequence, accepted, unexpected] from admin.ingest_source where source = %s",
        spool["source"],
    ) == [1, 9, 9, 0]
    as_promised(spool["source"], ids)


async def test_events_recorded_while_the_server_is_away_arrive_later(spool):
    ids = []
    async with client(**spool, **QUICK) as admin:
        kill_server()
        try:
            ids += [await admin.record("ptt.ff.done", {"n": n}) for n in range(10)]
            assert not await admin.flush(0.2)
        finally:
            start_server()
        assert await admin.flush(20)
    as_promised(spool["source"], ids)


@pytest.mark.parametrize(
    "path, kill, start",
    [
        ("direct", kill_server, start_server),
        ("pooled", kill_server, start_server),
        ("pooled", kill_pooler, start_pooler),
    ],
    ids=["server", "server behind a pooler", "pooler"],
)
async def test_killed_while_events_are_shipped(path, spool, kill, start):
    ids, over = [], asyncio.Event()

    async def recorder(admin):
        while not over.is_set():
            ids.append(await admin.record("ptt.ff.done", {"text": "x" * 300}))

    async with client(path, **spool, **QUICK) as admin:
        recorders = [asyncio.create_task(recorder(admin)) for _ in range(4)]
        for _ in range(ROUNDS):
            shipped = len(ledger(spool["source"])[0])
            await until(lambda: len(ledger(spool["source"])[0]) > shipped, 20)
            await asyncio.to_thread(kill)
            await asyncio.to_thread(start)
        over.set()
        await asyncio.gather(*recorders)
        assert await admin.flush(60)
    as_promised(spool["source"], ids)


async def test_the_client_is_killed_while_it_ships(path, spool):
    promised = []
    for _ in range(ROUNDS):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(pathlib.Path(__file__).with_name("shipping_client.py")),
            PATHS["direct"],
            str(spool["spool"]),
            spool["source"],
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(random.randrange(1, 400)):
            promised.append((await process.stdout.readline()).decode().strip())
        process.kill()
        rest = (await process.stdout.read()).decode()
        promised += rest[: rest.rfind("\n") + 1].split()
        await process.wait()
    async with client(path, **spool) as admin:
        assert await admin.flush(30)
    assert len(promised) > ROUNDS and len(promised[0]) == 32
    as_promised(spool["source"], promised)


async def test_an_answer_that_was_not_heard_is_asked_for_again(spool):
    """The batch is in the trail, but the time was over before it was said."""
    async with client(ship_seconds=0.3, **spool, **QUICK) as admin:
        with trail_locked():
            ids = [await admin.record("ptt.ff.done", {"n": n}) for n in range(10)]
            assert not await admin.flush(1.5)
        assert await admin.flush(10)
    assert as_promised(spool["source"], ids) == ids


async def test_what_the_trail_refuses_is_set_aside_and_its_number_told(spool):
    deep = json.loads("[" * 200 + "]" * 200)
    async with client(**spool) as admin:
        ids = [await admin.record("ptt.ff.done", data) for data in ({"n": 1}, deep, {"n": 3})]
        assert await admin.flush(10)
        aside = await admin._spool.rejected()
    assert [sequence for sequence, *_ in aside] == [2] and "cannot be kept" in aside[0][2] and ids[1] in aside[0][1]
    found = as_promised(spool["source"], [ids[0], ids[2]])
    assert len(found) == 3 and ids[1] not in found
    assert (
        sql(
            "select payload ->> 'id' from admin.audit where source = %s and event_type = 'ingest.ptt.ff.event.refused'",
            spool["source"],
        )
        == ids[1]
    )


async def test_an_event_that_spoils_the_document_does_not_hold_up_the_rest(spool):
    """As from a version that looked less closely."""
    async with client(**spool) as admin:
        spoilt = Event(
            "spoilt",
            json.dumps({"specversion": "1.0", "id": "spoilt", "source": spool["source"], "type": "t", "data": "\0"}),
        )
        records = [admin.record("ptt.ff.done", {"n": n}) for n in range(100)]
        ids = await asyncio.gather(*records[:50], admin._spool.append(spoilt), *records[50:])
        assert await admin.flush(20)
        assert [
            id for _, id, _ in [(s, json.loads(text)["id"], e) for s, text, e in await admin._spool.rejected()]
        ] == ["spoilt"]
    assert len(as_promised(spool["source"], [id for id in ids if isinstance(id, str)])) == 101


REFUSED = {
    "NUL": {"data": {"a": "x\0y"}},
    "NUL in a key": {"data": {"\0": 1}},
    "NUL behind a backslash": {"data": "\\\0"},
    "surrogate": {"data": ["\ud800"]},
    "surrogate in a key": {"data": {"\udfff": 1}},
    "pair of halves": {"data": "\ud83d\ude00"},
    "NaN": {"data": float("nan")},
    "infinity": {"data": [float("inf")]},
    "no JSON": {"data": {1, 2}},
    "too large": {"data": "x" * 262144},
    "type": {"type": ""},
    "long type": {"type": "t" * 257},
    "actor": {"actor": "é" * 129},
    "actor NUL": {"actor": "a\0"},
    "schema": {"dataschema": "not a uri"},
    "relative schema": {"dataschema": "x/y.json"},
    "schema that is no text": {"dataschema": 7},
    "upper-case name": {"extensions": {"Tenant": "x"}},
    "name with a hyphen": {"extensions": {"a-b": "x"}},
    "long name": {"extensions": {"a" * 21: "x"}},
    "no name": {"extensions": {"": "x"}},
    "name of ours": {"extensions": {"auditid": "1"}},
    "name of an attribute": {"extensions": {"sequence": "1"}},
    "empty extension": {"extensions": {"a": ""}},
    "number": {"extensions": {"a": 1}},
    "NUL in an extension": {"extensions": {"a": "\0"}},
    "surrogate in an extension": {"extensions": {"a": "\ud800"}},
    "large extensions": {"extensions": {"a": "x" * 8192}},
    "subject": {"subject": "\ud800"},
    "request": {"request_id": 7},
    "loop": {},
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_kept_is_refused_at_once(spool, what):
    event = {"type": "ptt.ff.done", **REFUSED[what]}
    if what == "loop":
        event["data"] = loop = []
        loop.append(loop)
    async with client(**spool) as admin:
        with pytest.raises(EventRefused) as refused:
            await admin.record(**event)
        assert str(refused.value).split()[0] in (
            "data",
            "type",
            "actor",
            "subject",
            "requestid",
            "dataschema",
            "extensions:",
            "extensions",
            "a",
        )
        assert await admin._spool.count() == 0


async def test_an_event_may_have_a_schema_and_extensions(spool):
    async with client(**spool) as admin:
        ids = [
            await admin.record(
                "ptt.ff.done",
                {"n": 1},
                dataschema="https://ff.example/done.json",
                extensions={"tenant": "eu", "a1": "\u00e9"},
            )
        ]
        assert await admin.flush(10)
        assert await admin._spool.rejected() == []
    as_promised(spool["source"], ids)


async def test_a_literal_backslash_is_no_nul(spool):
    async with client(**spool) as admin:
        ids = [await admin.record("ptt.ff.done", text) for text in ("\\u0000", "\\\\u0000", "u0000", "\\", "")]
        assert await admin.flush(10)
    as_promised(spool["source"], ids)


async def test_a_spool_is_for_one_process_and_one_source(spool):
    first = Spool(spool["spool"], spool["source"])
    await first.open()
    with pytest.raises(SpoolError, match="another process has it"):
        await Spool(spool["spool"], spool["source"]).open()
    await first.close(1)
    with pytest.raises(SpoolError, match="of the source"):
        await Spool(spool["spool"], "/ff/other").open()
    with pytest.raises(SpoolError):
        await Spool("/nowhere/spool", "/ff").open()
    async with client(**spool) as admin:
        await admin.record("ptt.ff.done")
    with pytest.raises(SpoolError, match="closed"):
        await admin.record("ptt.ff.done")


async def test_a_recorder_that_gives_up_does_not_disturb_others(spool):
    async with client(**spool) as admin:
        records = [asyncio.create_task(admin.record("ptt.ff.done", {"n": n})) for n in range(100)]
        await asyncio.sleep(0)
        for record in records[::2]:
            record.cancel()
        ids = [id for id in await asyncio.gather(*records, return_exceptions=True) if isinstance(id, str)]
        assert len(ids) >= 50 and await admin.flush(10)
    as_promised(spool["source"], ids)


async def test_conflicts_are_tried_again_soon(tmp_path):
    spool, calls = Spool(tmp_path / "spool", "/ff"), 0
    await spool.open()
    await spool.append(Event("1", "{}"))

    async def ask(document):
        nonlocal calls
        calls += 1
        if calls < 5:
            raise (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)[calls % 2]("again")
        return '{"accepted": 0, "duplicates": 1, "rejected": []}'

    task = asyncio.create_task(Shipper(spool, ask, 1000).run())
    await asyncio.wait_for(spool.is_empty.wait(), 60)
    assert calls == 5 and await spool.count() == 0
    task.cancel()
    await spool.close(1)


async def test_an_answer_that_does_not_add_up_removes_nothing(tmp_path):
    spool, asked = Spool(tmp_path / "spool", "/ff"), asyncio.Event()
    await spool.open()
    await spool.append(Event("1", "{}"))

    async def ask(document):
        asked.set()
        return '{"accepted": 0, "duplicates": 0, "rejected": []}'

    task = asyncio.create_task(Shipper(spool, ask, 1000).run())
    await asked.wait()
    assert await spool.count() == 1
    task.cancel()
    await spool.close(1)


async def test_a_backlog_goes_through_a_slow_link(spool):
    """In one batch it would take three times as long as a batch may."""
    async with slow_link(200_000) as dsn:
        async with client(dsn, ship_seconds=2, **spool, **QUICK) as admin:
            ids = await asyncio.gather(*(admin.record("ptt.ff.bulk", {"d": "x" * 4000}) for _ in range(300)))
            assert await admin.flush(90)
            assert admin._shipper.pace.events < 300, "the batches have become smaller"
    as_promised(spool["source"], ids)


async def test_an_event_that_is_too_large_for_its_time_is_given_more(spool):
    async with slow_link(200_000) as dsn:
        async with client(dsn, ship_seconds=0.5, **spool, **QUICK) as admin:
            ids = [await admin.record("ptt.ff.bulk", {"d": "x" * 250_000})]
            assert await admin.flush(60)
            await until(lambda: admin._shipper.pace.seconds == 0.5)
    as_promised(spool["source"], ids)


async def test_a_backlog_goes_through_under_a_statement_timeout(spool):
    sql("alter role ff set statement_timeout = '25ms'")
    try:
        async with client(**spool, **QUICK) as admin:
            ids = await asyncio.gather(*(admin.record("ptt.ff.bulk", {"d": "x" * 4000}) for _ in range(2000)))
            assert await admin.flush(90)
    finally:
        sql("alter role ff set statement_timeout = '5s'")
    as_promised(spool["source"], ids)


@pytest.mark.parametrize("error", [TimeoutError, asyncpg.QueryCanceledError])
async def test_batches_shrink_when_the_time_is_over_and_grow_when_it_is_not(tmp_path, error):
    """Whoever ends the statement: what fits is what counts."""
    spool, sizes, fits = Spool(tmp_path / "spool", "/ff"), [], 40
    await spool.open()
    await asyncio.gather(*(spool.append(Event(str(n), '{"n":1}')) for n in range(3000)))

    async def ask(document):
        events = json.loads(document)
        sizes.append(len(events))
        if len(events) > fits:
            await asyncio.sleep(0.01)
            raise error("too slow")
        return json.dumps({"accepted": len(events), "duplicates": 0, "rejected": []})

    shipper = Shipper(spool, ask, 1000, 10)
    task = asyncio.create_task(shipper.run())
    await until(lambda: 31 in sizes)
    fits = 5000
    await asyncio.wait_for(spool.is_empty.wait(), 20)
    assert sizes[:6] == [1000, 500, 250, 125, 62, 31] and max(sizes[6:]) > 500 and await spool.count() == 0
    task.cancel()
    await spool.close(1)


def test_a_batch_grows_only_where_twice_as_much_is_sure_to_arrive():
    pace = Pace(1000, 1000, 10)
    pace.late(1000, 800, 10)
    assert (pace.events, pace.bytes, pace.seconds) == (500, 400, 10)
    pace.arrived(6)
    assert pace.events == 500, "it would take 12 s"
    pace.arrived(2)
    assert (pace.events, pace.bytes) == (1000, 800)
    pace.late(1, 800, 0.1)  # the server's own limit
    assert (pace.events, pace.seconds) == (1000, 20)
    pace.late(2, 800, 0.1)
    pace.arrived(0.1)
    assert pace.events == 1 and pace.seconds == 10, "nearly as long as the server lets it"
    for _ in range(20):
        pace.arrived(0.02)
    assert (pace.events, pace.bytes) == (1000, 1000)
