"""Whatever happens to the server or on the way to it: a deny within 1.1 s, nothing left behind, and a yes again
when all is well again."""

import asyncio
import contextlib
import json
import os
import socket
import threading
import time

import asyncpg
import pytest
from admin_client import Reason
from harness import (
    BOUND,
    PATHS,
    POOLER,
    all_denied,
    approval,
    ask,
    backends,
    client,
    kill_pooler,
    kill_server,
    paused,
    pid_of,
    postmaster,
    recovers,
    sessions,
    sql,
    start_pooler,
    start_server,
    timed,
    trail_locked,
    until,
)

QUICK = {"breaker_failures": 3, "breaker_seconds": 0.3}


async def is_open(admin):
    return admin.breaker_state == "opened"


async def test_a_statement_held_by_a_lock(path):
    approval_id = approval()
    async with client(path, connections=4, **QUICK) as admin:
        await recovers(admin, approval_id)
        with trail_locked():
            assert await all_denied(admin, approval_id) == {Reason.TIMEOUT}
            assert await all_denied(admin, approval_id) == {Reason.BREAKER_OPEN}
            await until(lambda: sessions("state = 'active'") == 0)  # cancelled at the server
        await recovers(admin, approval_id)
        assert (
            sql(
                "select count(*) from admin.audit where approval_id = %s and event_type = 'sensitive.check.2b' and payload ->> 'decision' = 'valid'",
                approval_id,
            )
            == 2
        )


async def test_a_caller_that_goes_without_a_cancel(path):
    """The role's statement_timeout ends what it has left behind."""
    approval_id = approval()
    connection = await asyncpg.connect(PATHS[path], statement_cache_size=0)
    with trail_locked():
        check = asyncio.create_task(connection.fetchval("select admin.sensitive_check($1)", approval_id))
        await until(lambda: sessions("wait_event_type = 'Lock'") == 1)
        connection.terminate()
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await check
        await until(lambda: sessions("state = 'active'") == 0)


async def test_the_server_is_killed(path):
    approval_id = approval()
    async with client(path, connections=4, **QUICK) as admin:
        await recovers(admin, approval_id)
        try:
            kill_server()
            for _ in range(3):
                assert await all_denied(admin, approval_id) <= {Reason.UNREACHABLE, Reason.BREAKER_OPEN, Reason.TIMEOUT}
        finally:
            start_server()
        await recovers(admin, approval_id)


async def test_the_server_is_killed_under_a_statement(path):
    approval_id = approval()
    async with client(path, connections=4, **QUICK) as admin:
        await recovers(admin, approval_id)
        with trail_locked():
            checks = asyncio.create_task(all_denied(admin, approval_id))
            await until(lambda: sessions("wait_event_type = 'Lock'") == 4)
            try:
                kill_server()
                assert await checks <= {Reason.UNREACHABLE, Reason.BREAKER_OPEN, Reason.TIMEOUT}
            finally:
                start_server()
        await recovers(admin, approval_id)


async def test_sessions_that_stand_still(path):
    """As on a machine that swaps, or a network that drops everything: neither answers nor ends."""
    approval_id = approval()
    async with client(path, connections=4, **QUICK) as admin:
        await asyncio.gather(*(ask(admin, approval_id) for _ in range(20)))
        with paused([*backends(), postmaster()]):  # nor does a new one begin
            assert Reason.TIMEOUT in await all_denied(admin, approval_id)
            assert await all_denied(admin, approval_id) == {Reason.BREAKER_OPEN}
        await recovers(admin, approval_id)


async def test_a_server_that_lets_nobody_in():
    """The postmaster stands still: a connection is taken by the kernel, and never answered; nor is the request to cancel."""
    approval_id = approval()
    async with client(connections=4, **QUICK) as admin:
        with paused([postmaster()]):
            assert await all_denied(admin, approval_id) == {Reason.TIMEOUT}
            assert await all_denied(admin, approval_id) == {Reason.BREAKER_OPEN}
        await recovers(admin, approval_id)


async def test_a_client_closes_while_nothing_answers():
    """Statement and cancellation both hang; the client is closed in bounded time all the same (see the harness)."""
    approval_id = approval()
    async with contextlib.AsyncExitStack() as stack:
        async with client(connections=4, **QUICK) as admin:
            await ask(admin, approval_id)
            stack.enter_context(paused([*backends(), postmaster()]))
            assert await all_denied(admin, approval_id) == {Reason.TIMEOUT}


async def test_all_connections_are_in_use():
    """One kind of call that hangs leaves no connection to others: they wait no longer than their budget, too."""
    approval_id, other = approval(), approval()
    async with client(connections=2, breaker_failures=100) as admin:
        await recovers(admin, other)
        with trail_locked():
            first = [asyncio.create_task(timed(ask(admin, approval_id))) for _ in range(2)]
            await until(lambda: sessions("wait_event_type = 'Lock'") == 2)
            assert await all_denied(admin, other) == {Reason.TIMEOUT}
            assert all(seconds < BOUND for _, seconds in await asyncio.gather(*first))
        await recovers(admin, other)


async def test_the_server_has_no_connection_to_spare():
    approval_id = approval()
    sql("alter role ff connection limit 0")
    try:
        async with client(**QUICK) as admin:
            assert await all_denied(admin, approval_id) == {Reason.UNREACHABLE}
            sql("alter role ff connection limit -1")
            await recovers(admin, approval_id)
    finally:
        sql("alter role ff connection limit -1")


async def test_the_pooler_is_gone():
    approval_id = approval()
    async with client("pooled", **QUICK) as admin:
        await recovers(admin, approval_id)
        try:
            kill_pooler()
            for _ in range(3):
                assert await all_denied(admin, approval_id) <= {Reason.UNREACHABLE, Reason.BREAKER_OPEN}
        finally:
            start_pooler()
        await recovers(admin, approval_id)


async def test_the_pooler_stands_still():
    approval_id = approval()
    async with client("pooled", connections=4, **QUICK) as admin:
        await asyncio.gather(*(ask(admin, approval_id) for _ in range(20)))
        with paused([pid_of(POOLER / "pid")]):
            assert Reason.TIMEOUT in await all_denied(admin, approval_id)
            assert await all_denied(admin, approval_id) == {Reason.BREAKER_OPEN}
        await recovers(admin, approval_id)


async def test_a_name_that_nobody_knows():
    async with client("postgresql://ff@admin.invalid/postgres", **QUICK) as admin:
        assert await all_denied(admin, "APP-000001-a") <= {Reason.UNREACHABLE, Reason.TIMEOUT}
        assert await all_denied(admin, "APP-000001-a") <= {Reason.UNREACHABLE, Reason.TIMEOUT, Reason.BREAKER_OPEN}


async def test_a_name_server_that_says_nothing(monkeypatch):
    """Nobody can call off a look-up; it costs the loop's own threads, which are few, and no deny a second more."""
    answered = threading.Event()

    def look_up(*arguments, **options):
        answered.wait(60)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        async with client("postgresql://ff@admin.example/postgres", **QUICK) as admin:
            assert await all_denied(admin, "APP-000001-a") == {Reason.TIMEOUT}
            assert await all_denied(admin, "APP-000001-a") == {Reason.BREAKER_OPEN}
            assert sum(thread.name.startswith("asyncio_") for thread in threading.enumerate()) <= os.cpu_count() + 4
    finally:
        answered.set()


async def test_the_role_has_lost_its_rights(path):
    """An error of the server is a failure, too."""
    approval_id = approval()
    function = "function admin.sensitive_check(text, text, text, text, text, text, text)"
    sql(
        f"revoke execute on {function} from ff, admin_ext_checker"
        if sql("select count(*) from pg_roles where rolname = 'admin_ext_checker'")
        else f"revoke execute on {function} from ff"
    )
    try:
        async with client(path, **QUICK) as admin:
            assert await all_denied(admin, approval_id) == {Reason.ERROR}
            assert await is_open(admin)
    finally:
        sql("select admin.grant_access('ff', 'checker')")


async def until_half_open(opened_at):
    """The breaker goes by the wall clock."""
    await until(lambda: time.time() > opened_at + QUICK["breaker_seconds"] + 0.01)


async def opened(admin, approval_id):
    """Makes it fail until the breaker opens; since when it is open, at the latest."""
    while admin.breaker_state != "opened":
        await all_denied(admin, approval_id, callers=4)
    return time.time()


async def watched(condition, task):
    """The most that a query counted until the task was done."""
    most = 0
    while not task.done():
        most = max(most, await asyncio.to_thread(sessions, condition))
    return most


async def test_fifty_callers_are_one_probe_that_hangs(path):
    approval_id = approval()
    async with client(path, connections=50, **QUICK) as admin:
        with trail_locked():
            for _ in range(3):
                await until_half_open(await opened(admin, approval_id))
                await until(lambda: sessions("state = 'active'") == 0)
                fifty = asyncio.create_task(all_denied(admin, approval_id, callers=50))
                assert await watched("state = 'active'", fifty) == 1
                assert await fifty == {Reason.TIMEOUT, Reason.BREAKER_OPEN}
        await recovers(admin, approval_id)


async def test_fifty_callers_are_one_probe_that_fails():
    """Counted at a server that hangs up on everybody."""
    probes = 0

    async def hang_up(reader, writer):
        nonlocal probes
        probes += 1
        await reader.read(100)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        client(f"postgresql://ff@127.0.0.1:{port}/postgres?sslmode=disable", connections=50, **QUICK) as admin,
    ):
        for _ in range(5):
            await until_half_open(await opened(admin, "APP-000001-a"))
            probes = 0
            assert await all_denied(admin, "APP-000001-a", callers=50) <= {Reason.UNREACHABLE, Reason.BREAKER_OPEN}
            assert probes == 1


async def test_fifty_callers_wait_for_a_probe_that_succeeds(path):
    approval_id = approval()
    async with client(path, connections=10, **QUICK) as admin:
        with trail_locked():
            opened_at = await opened(admin, approval_id)
        await until_half_open(opened_at)
        answers = await asyncio.gather(*(timed(ask(admin, approval_id)) for _ in range(50)))
        assert all(decision for decision, _ in answers) and max(seconds for _, seconds in answers) < BOUND
        assert admin.breaker_state == "closed"


async def test_a_cancelled_probe_says_nothing():
    """Neither closed, on the word of nobody, nor open for longer: the next one tries."""
    approval_id = approval()
    async with client(connections=10, **QUICK) as admin:
        with trail_locked():
            await until_half_open(await opened(admin, approval_id))
            await until(lambda: sessions("state = 'active'") == 0)
            probe = asyncio.create_task(ask(admin, approval_id))
            await until(lambda: sessions("wait_event_type = 'Lock'") == 1)
            probe.cancel()
            await asyncio.wait([probe])
            assert admin.breaker_state == "half-opened"
            await until(lambda: sessions("state = 'active'") == 0)
            fifty = asyncio.create_task(all_denied(admin, approval_id, callers=50))
            assert await watched("state = 'active'", fifty) == 1
            await fifty
        await recovers(admin, approval_id)


async def test_a_clock_set_back_does_not_keep_the_breaker_open(monkeypatch):
    approval_id = approval()
    async with client(breaker_failures=3, breaker_seconds=60) as admin:
        with trail_locked():
            opened_at = await opened(admin, approval_id)
        assert (await ask(admin, approval_id)).reason is Reason.BREAKER_OPEN
        monkeypatch.setattr(time, "time", lambda: opened_at - 3600)
        assert await ask(admin, approval_id)


async def trouble(seconds):
    """The server is held up, stopped, paused and killed by turns, for so long."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        for fault in (
            trail_locked,
            lambda: paused(backends()),
            lambda: paused([postmaster()]),
            lambda: paused([pid_of(POOLER / "pid")]),
        ):
            with fault():
                await asyncio.sleep(1.3)
            await asyncio.sleep(0.7)
        for kill, start in ((kill_server, start_server), (kill_pooler, start_pooler)):
            await asyncio.to_thread(kill)
            await asyncio.sleep(1.3)
            await asyncio.to_thread(start)
            await asyncio.sleep(0.7)


async def test_minutes_of_trouble(path, tmp_path):
    """Every call's outcome and time is kept: none is late, and each yes has its row."""
    approval_id, calls = approval(), []

    async def caller(n, over):
        while not over.done():
            at = time.time()
            decision, seconds = await timed(ask(admin, approval_id))
            calls.append((at, n, seconds, decision.decision, str(decision.reason), decision.audit_id))
            await asyncio.sleep(0.02)

    async with client(path, connections=5, **QUICK) as admin:
        over = asyncio.create_task(trouble(float(os.environ.get("SOAK_SECONDS", "10"))))
        await asyncio.gather(*(caller(n, over) for n in range(10)))
        await over
        await recovers(admin, approval_id)
    kept = os.environ.get("SOAK_LOG")
    if kept:
        with open(f"{kept}.{path}.ndjson", "w") as file:
            file.writelines(json.dumps(call) + "\n" for call in calls)
    ids = [audit_id for *_, decision, _, audit_id in calls if decision == "valid"]
    late = [call for call in calls if call[2] >= BOUND]
    assert late == [] and 20 < len(ids) < len(calls)
    assert (
        sql(
            "select count(*) from admin.audit where audit_id = any(%s) and approval_id = %s and payload ->> 'decision' = 'valid'",
            ids,
            approval_id,
        )
        == len(ids)
        == len(set(ids))
    )
