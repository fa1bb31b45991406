"""What FF's reference client costs: beside bare asyncpg calls of the same function, and through a pooler."""

import asyncio
import contextlib
import os
import statistics
import time

import asyncpg
from admin_client import AdminClient, Settings
from core import SECONDS, alternate, report, sql

CONNECTIONS = 16
ALLOWED = 0.3
RATE = int(os.environ.get("BENCH_FF_RATE", "800"))
CHECK = "select admin.sensitive_check($1, $2, $3, actor => $4)"
QUESTION = ("APP-000001-p", "pay", "account 7")


def prepare():
    sql(
        "set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()",
        "drop role if exists ff",
        "create role ff login",
        "select admin.grant_access('ff', 'checker')",
        """insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
           values ('APP-000001-p', 'pay', 'account 7', '{r}', 1, 'boss', '2100-01-01')""",
        "insert into admin.signature (approval_id, signer_role, signer) values ('APP-000001-p', 'r', 'ann')",
    )


def address(path):
    """To the server itself, or through PgBouncer."""
    return (
        f"postgresql://ff@/postgres?host={os.environ['PGHOST']}"
        if path == "direct"
        else f"postgresql://ff@/postgres?host={os.environ['PGBOUNCER_DIR']}&port=6432"
    )


@contextlib.asynccontextmanager
async def connections(path):
    """One call each on connections that nobody gives out or takes back."""
    options = {"statement_cache_size": 0} if path == "pooled" else {}
    opened = [await asyncpg.connect(address(path), **options) for _ in range(CONNECTIONS)]
    yield [connection.fetchval for connection in opened]
    for connection in opened:
        await connection.close()


@contextlib.asynccontextmanager
async def pool(path):
    """asyncpg's, as it comes."""
    options = {"statement_cache_size": 0} if path == "pooled" else {}
    async with asyncpg.create_pool(address(path), min_size=CONNECTIONS, max_size=CONNECTIONS, **options) as opened:
        yield [opened.fetchval] * CONNECTIONS


@contextlib.asynccontextmanager
async def client(path):
    async with AdminClient(Settings(dsn=address(path), pooler=path == "pooled", connections=CONNECTIONS)) as admin:
        yield [admin.check] * CONNECTIONS


async def called(side, path, pause, *arguments, **options):
    """Milliseconds of each call at p50, and calls a second, of as many callers as there are connections.

    pause: seconds between the beginnings of a caller's calls; 0: one after the other.
    """
    async with side(path) as calls:
        times, begins_at = [], time.perf_counter()

        async def caller(number, call):
            await call(*arguments, **options)
            due = begins_at + pause * (1 + number / CONNECTIONS)
            while (started := time.perf_counter()) < begins_at + SECONDS:
                if started < due:
                    await asyncio.sleep(due - started)
                    started = time.perf_counter()
                answer = await call(*arguments, **options)
                times.append(1000 * (time.perf_counter() - started))
                due += pause
            if not answer:
                raise RuntimeError(f"not answered: {answer}")

        await asyncio.gather(*(caller(number, call) for number, call in enumerate(calls)))
    return statistics.median(times), len(times) / SECONDS


def sides(path, pause, *kinds):
    """Rounds of each kind: a side and what it is asked."""
    return alternate(
        *(
            lambda side=side, question=question, options=options: asyncio.run(
                called(side, path, pause, *question, **options)
            )
            for side, question, options in kinds
        )
    )


def p17():
    prepare()
    notes = (
        f"asyncpg {asyncpg.__version__}, PgBouncer {os.environ['PGBOUNCER_VERSION']} in transaction mode with up to 20 server connections, its default, {CONNECTIONS} callers in one process; "
        f"fsync {sql('show fsync')}, synchronous_commit {sql('show synchronous_commit')}",
    )
    ours, bare, pooled = (
        (client, QUESTION, {"actor": "FF"}),
        (connections, (CHECK, *QUESTION, "FF"), {}),
        (pool, (CHECK, *QUESTION, "FF"), {}),
    )
    for name, pause, how in (
        ("P17", CONNECTIONS / RATE, f"at {RATE} checks a second"),
        ("P17_busy", 0, "without a pause between them: what a call costs the process all others wait for"),
    ):
        p50 = [[median for median, _ in side] for side in sides("direct", pause, ours, bare, pooled)]
        report(
            name,
            f"milliseconds of a check by the client at p50, {how}, against a bare asyncpg call of the same function on {CONNECTIONS} connections and {ALLOWED} ms more; besides, by asyncpg's pool",
            ("client", "allowed", "pool"),
            (p50[0], [median + ALLOWED for median in p50[1]], p50[2]),
            1.0,
            "ms",
            at_most=True,
            notes=notes,
        )
    nothing = ("select 1",), {}
    rates = [[rate for _, rate in side] for side in sides("pooled", 0, ours, (pool, *nothing), (connections, *nothing))]
    report(
        "P17_pooler",
        "checks a second by the client through PgBouncer, against select 1 by asyncpg's pool through it with statement_cache_size=0; besides, select 1 on connections that nobody gives out",
        ("client", "select 1", "connections"),
        rates,
        0.8,
        notes=notes,
    )
