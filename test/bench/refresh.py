"""From a change of an approval to a Redis subscriber, at a fixed rate."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import latency
from core import alternate, report, sql, wait

from delivery import deliver

RATE = 500
SECONDS = int(os.environ.get("BENCH_LATENCY", "30"))
CHANNEL = "approval_ttl_refresh"
BARS = {"p50": 10, "p99": 50}
HERE = pathlib.Path(__file__).parent
ISSUE = """insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
values ('APP-' || lpad((nextval('bench_number') % 1000000)::text, 6, '0') || '-b' || currval('bench_number'), 'pay', '{x}', 1, 'boss', now() + interval '1 day');
"""


@contextlib.contextmanager
def redis_sink():
    """Within it the sink is Redis, and nothing is delivered yet."""
    deliver(None)
    sql(
        "alter system set admin_ext.sinks = 'redis'",
        f"alter system set admin_ext.redis_url = 'redis://127.0.0.1:{os.environ['REDIS_PORT']}'",
        "select pg_reload_conf()",
    )
    try:
        yield
    finally:
        deliver(None)
        sql("alter system reset admin_ext.sinks", "alter system reset admin_ext.redis_url", "select pg_reload_conf()")


def heard(channel, write):
    """Milliseconds at p50 and p99 from a change to a subscriber, while as many are written as write() says."""
    reader = subprocess.Popen(
        [sys.executable, str(HERE / "redis_reader.py"), os.environ["REDIS_PORT"], channel],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if reader.stdout.readline() != "ready\n":
            raise RuntimeError("the reader does not start")
        written = write()
        output = reader.communicate(f"{written}\n", timeout=90)[0]
    finally:
        reader.kill()
    result = json.loads(output)
    print(f"    {channel} at {RATE}/s, {written} changes: {result}", flush=True)
    return result


def ours():
    deliver("postgres")
    wait("select state = 'idle' from admin.worker_status")
    try:
        return heard(CHANNEL, lambda: latency.write(ISSUE, RATE, "postgres", SECONDS))
    finally:
        deliver(None)


def alone():
    """By the client itself, which publishes right after its commit."""
    arguments = [
        sys.executable,
        str(HERE / "redis_writer.py"),
        os.environ["REDIS_PORT"],
        "alone",
        str(RATE),
        str(SECONDS),
    ]
    return heard("alone", lambda: int(subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout))


def p14():
    sql(
        "set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()",
        "drop sequence if exists bench_number",
        "create sequence bench_number",
    )
    with redis_sink():
        sides = alternate(ours, alone, rounds=3)
        notes = [
            f"Redis {os.environ['REDIS_VERSION']} on the same machine; admin_ext.linger {sql('show admin_ext.linger')}, fsync {sql('show fsync')}; a Python subscriber"
        ]
    for percentile, bar in BARS.items():
        values = [[run[percentile] for run in side] for side in sides]
        report(
            f"P14_{percentile}",
            f"{percentile} from a change of an approval to a Redis subscriber, {RATE} changes/s for {SECONDS} s, one a transaction, against what is allowed; "
            "besides, a client that publishes by itself right after its commit, and may fail to",
            ("admin_ext", "allowed", "client"),
            (values[0], [bar] * len(values[0]), values[1]),
            1.0,
            "ms",
            at_most=True,
            notes=notes,
        )
