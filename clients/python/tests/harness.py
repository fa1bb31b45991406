"""What the tests share: the servers and their faults, a client that is looked after, and how long things took.

test/python/run starts the servers and says by the environment where they are.
"""

import asyncio
import contextlib
import itertools
import os
import pathlib
import random
import signal
import subprocess
import threading
import time

from admin_client import AdminClient, Settings
from session import connect, one, poll

SCRATCH = pathlib.Path(os.environ["SCRATCH"])
POOLER = pathlib.Path(os.environ["PGBOUNCER_DIR"])
REDIS = pathlib.Path(os.environ["REDIS_DIR"])
REDIS_URL = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}"
PATHS = {
    "direct": f"postgresql://ff@/postgres?host={SCRATCH}",
    "pooled": f"postgresql://ff@/postgres?host={POOLER}&port=6432",
}
# A deadline, not a measurement: what a call waits for in these tests never comes, so a call that does not keep its budget
# ends later than this, or never.  test/bench/ff_client.py measures how long a deny takes.
BOUND = 10
numbers = itertools.count(random.randrange(900_000))


def sql(query, *arguments):
    """As superuser, in a session of its own."""
    with contextlib.closing(connect()) as connection:
        return one(connection, query, *arguments)


def approval(deadline="2100-01-01", signed=True):
    """The id of a new approval to pay, of account 7, that one person signs."""
    approval_id = f"APP-{next(numbers) % 1_000_000:06d}-t{os.getpid()}"
    sql(
        """insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
           values (%s, 'pay', 'account 7', '{r}', 1, 'boss', %s)""",
        approval_id,
        deadline,
    )
    if signed:
        sql("insert into admin.signature (approval_id, signer_role, signer) values (%s, 'r', 'ann')", approval_id)
    return approval_id


def withdraw(approval_id):
    sql("update admin.approval set state = 'withdrawn', closed_at = now() where approval_id = %s", approval_id)


async def until(condition, seconds=10):
    """Waits until it holds; fails when it does not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come about"
        await asyncio.sleep(0.01)


async def timed(call):
    """What it gives, and the seconds it took.  One that never ends is a failure, too."""
    started = time.monotonic()
    async with asyncio.timeout(20):
        result = await call
    return result, time.monotonic() - started


def in_use():
    """Tasks, threads and files of this process.  Threads that ask name servers stay with the loop, idle."""
    return (
        len(asyncio.all_tasks()),
        sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate()),
        len(os.listdir("/proc/self/fd")),
    )


@contextlib.asynccontextmanager
async def client(path="direct", **settings):
    """A client that has to be gone without a trace afterwards, in bounded time."""
    before = in_use()
    admin = AdminClient(Settings(**{"dsn": PATHS.get(path, path), "pooler": path == "pooled", **settings}))
    await admin.open()
    try:
        yield admin
    finally:
        _, seconds = await timed(admin.close(2))
    assert seconds < BOUND, f"closing took {seconds} s"
    await until(lambda: all(now <= then for now, then in zip(in_use(), before)), 7)


async def ask(admin, approval_id, **more):
    """A check of what the approval is for."""
    return await admin.check(approval_id, "pay", "account 7", actor="FF", **more)


async def all_denied(admin, approval_id, callers=20):
    """So many ask at once; each is denied in time.  Gives the reasons."""
    answers = await asyncio.gather(*(timed(ask(admin, approval_id)) for _ in range(callers)))
    slowest = max(seconds for _, seconds in answers)
    assert not any(decision for decision, _ in answers)
    assert slowest < BOUND, f"the slowest took {slowest:.3f} s"
    return {decision.reason for decision, _ in answers}


async def recovers(admin, approval_id, seconds=20):
    """Until it is valid again."""
    deadline = time.monotonic() + seconds
    while not (decision := await ask(admin, approval_id)):
        assert time.monotonic() < deadline, decision
        await asyncio.sleep(0.02)
    return decision


def sessions(where="true"):
    """FF's sessions at the server."""
    return sql(f"select count(*) from pg_stat_activity where usename = 'ff' and {where}")


@contextlib.asynccontextmanager
async def slow_link(rate):
    """A way to the server that takes so many bytes a second from each connection; gives its DSN."""

    async def pump(reader, writer, slowly):
        with contextlib.suppress(OSError):
            while data := await reader.read(8192):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(len(data) / rate if slowly else 0)
        writer.close()

    async def handle(reader, writer):
        with contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_unix_connection(
                str(SCRATCH / f".s.PGSQL.{os.environ.get('PGPORT', '5432')}")
            )
            await asyncio.gather(pump(reader, up_writer, True), pump(up_reader, writer, False))

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=8192)
    try:
        yield f"postgresql://ff@127.0.0.1:{server.sockets[0].getsockname()[1]}/postgres"
    finally:
        server.close()


@contextlib.contextmanager
def trail_locked():
    """Nobody can write the trail: a check waits."""
    connection = connect()
    connection.autocommit = False
    one(connection, "lock table admin.audit in access exclusive mode")
    try:
        yield
    finally:
        connection.close()


@contextlib.contextmanager
def paused(pids):
    """Processes that stand still."""
    pids = list(pids)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def backends(where="usename = 'ff'"):
    return sql(f"select coalesce(array_agg(pid), '{{}}') from pg_stat_activity where {where}")


def pid_of(file):
    return int(file.read_text().split()[0])


def postmaster():
    return pid_of(SCRATCH / "data/postmaster.pid")


def is_gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before, or while it is read
        return True


def kill(pid):
    """Kills, and waits until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert poll(lambda: is_gone(pid), 60)


def as_server_user(*command, **options):
    prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    return subprocess.Popen(
        [*prefix, *command],
        cwd=SCRATCH,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )


def kill_server():
    kill(postmaster())


def start_server():
    command = [
        f"{os.environ['PGBINDIR']}/pg_ctl",
        "-D",
        f"{SCRATCH}/data",
        "-l",
        f"{SCRATCH}/server.log",
        "-w",
        "-t",
        "60",
        "start",
    ]
    # Sessions of the one that was killed may still be on their way out.
    assert poll(lambda: as_server_user(*command).wait() == 0, 60)


def kill_pooler():
    kill(pid_of(POOLER / "pid"))
    (POOLER / "pid").unlink(missing_ok=True)


def start_pooler():
    assert as_server_user("pgbouncer", "-q", "-d", str(POOLER / "pgbouncer.ini")).wait() == 0
    assert poll(lambda: (POOLER / "pid").exists(), 60)
    with contextlib.closing(connect(host=str(POOLER), port=6432)) as connection:
        one(connection, "select 1")


def kill_redis():
    kill(pid_of(REDIS / "pid"))


def start_redis():
    subprocess.Popen(
        [str(REDIS / "start")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert poll(
        lambda: (
            subprocess.run(["redis-cli", "-p", os.environ["REDIS_PORT"], "ping"], capture_output=True).stdout
            == b"PONG\n"
        ),
        60,
    )
