"""How long the web app's /healthz waits while bodies of 1 MiB of the worst JSON are posted to it, by somebody with a good token."""

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
from importlib import metadata

import httpx
from core import SECONDS, alternate, report, sql

MIB = 1024 * 1024
ALLOWED = 100.0
SENDERS = 2


def elements(unit, most=9_999):
    """An array of so many of these as fit into a body."""
    return "[" + ",".join([unit] * min(most, (MIB - 2) // (len(unit) + 1))) + "]"


def full(unit, opening="[[", closing="1]]"):
    """One element that fills a body."""
    return opening + unit * ((MIB - len(opening) - len(closing)) // len(unit)) + closing


BODIES = [
    body.encode()
    for body in (
        elements('"\\u0000"'),
        elements("1e999999"),
        full("1", "[", "]"),
        full("[],"),
        full("1,"),
        full("1.5,"),
        full('"a":0,', "[{", '"a":0}]'),
        "[" + "[" * 500_000 + "]" * 500_000 + "]",
        elements("[" * 50 + "]" * 50),
        full("\\n", '["', '"]'),
        full("\\ud800", '["', '"]'),
        elements('{"":0}'),
        full("{},"),
        elements('{"id":"1","source":"/bench","type":"t","specversion":"1.0"}'),
    )
]
WHERE = ("/api/audit/ingest", "/api/policy/sensitive-check")


def prepare():
    """The database, and a token of somebody who may bring events."""
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "identity"))
    os.environ["PGDATABASE"] = os.environ.get("PGDATABASE", "postgres")
    import harness

    sql(
        "set client_min_messages = error; drop extension if exists admin_ext cascade; create extension admin_ext; select admin.create_audit_partitions()",
        "drop role if exists web",
        "create role web login",
        *(f"select admin.grant_access('web', '{access}')" for access in ("checker", "signer", "auditor")),
        "select admin.grant_access('web', 'checker', '/bench')",
    )
    return harness.Issuer(harness.connect()).token(roles=("service",), exp=int(time.time()) + 3600)


@contextlib.contextmanager
def app():
    """The app in a process of its own; gives its address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "admin_client.app:app",
            "--port",
            address.rsplit(":")[-1],
            "--log-level",
            "error",
        ],
        env={
            **os.environ,
            "ADMIN_DSN": f"postgresql://web@/postgres?host={os.environ['PGHOST']}",
            "ADMIN_INGEST_ROLE": "service",
            "ADMIN_BUDGET": "30",
        },
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{address}/readyz").status_code == 200:
                    break
            if time.monotonic() > deadline:
                raise TimeoutError("the app does not start")
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(30)


async def send(address, token, number):
    """Posts one body after the other, until it is ended.  In a process of its own: what it costs is not what is measured."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        for n in itertools.count(number):
            response = await client.post(
                WHERE[n % len(WHERE)],
                content=BODIES[n // len(WHERE) % len(BODIES)],
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            if response.status_code not in (200, 400, 422):
                raise RuntimeError(f"a body was answered by {response.status_code}: {response.text[:200]}")
            print(n, flush=True)


def slowest(address, token, senders):
    """Milliseconds of the slowest of the answers of /healthz, one every 5 ms."""
    times = []
    sending = [
        subprocess.Popen([sys.executable, __file__, address, token, str(number)], stdout=subprocess.PIPE, text=True)
        for number in range(senders)
    ]
    try:
        for sender in sending:
            if not sender.stdout.readline():
                raise RuntimeError("a body could not be sent")
        with httpx.Client(base_url=address, timeout=60) as client:
            ends_at = time.perf_counter() + SECONDS
            while time.perf_counter() < ends_at:
                started = time.perf_counter()
                client.get("/healthz").raise_for_status()
                times.append(1000 * (time.perf_counter() - started))
                time.sleep(0.005)
        if any(sender.poll() is not None for sender in sending):
            raise RuntimeError("a sender has ended")
    finally:
        for sender in sending:
            sender.kill()
            sender.wait()
    return max(times)


def p26():
    token = prepare()
    with app() as address:
        rounds = alternate(
            lambda: slowest(address, token, SENDERS), lambda: ALLOWED, lambda: slowest(address, token, 0)
        )
    notes = (
        f"fastapi {metadata.version('fastapi')}, uvicorn {metadata.version('uvicorn')}, Python {sys.version.split()[0]}; {len(BODIES)} bodies, {SENDERS} processes that post them with a good token, "
        "on the same machine",
    )
    report(
        "P26",
        f"milliseconds of the slowest answer of /healthz while 1 MiB of the worst JSON is posted to ingest and the check, against {ALLOWED:.0f}; besides, the slowest without that",
        ("under attack", "allowed", "quiet"),
        rounds,
        1.0,
        "ms",
        at_most=True,
        notes=notes,
    )


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], sys.argv[2], int(sys.argv[3])))
