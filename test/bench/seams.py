"""What the seams to FF cost: ingest of events against a bare INSERT, and what a sweep costs others."""

import json
import os
import random
import statistics
import threading
import time

import psycopg2
from checks import bare_audit
from core import ID, ROUNDS, alternate, load_approvals, report, sql

BATCH, BATCHES = 1000, int(os.environ.get("BENCH_BATCHES", "40"))
LARGE = int(os.environ.get("BENCH_LARGE", "10000000"))
DUE = int(os.environ.get("BENCH_DUE", "100000"))


def connect():
    connection = psycopg2.connect(host=os.environ["PGHOST"], dbname=os.environ["PGDATABASE"], user=os.environ["PGUSER"])
    connection.autocommit = True
    return connection


def event(number):
    """Of about 400 bytes of data, as FF would ship it."""
    return {
        "specversion": "1.0",
        "id": f"{random.getrandbits(128):032x}",
        "source": "/ff/bench",
        "type": "ptt.ff.approval.consumed",
        "time": "2026-11-25T20:00:00.123456Z",
        "subject": f"APP-{number % 1000000:06d}-x",
        "sequence": str(number),
        "data": {"amount": number, "text": "abcdefghij" * 38},
    }


class Numbers:
    """Each event has a number of its own."""

    def __init__(self):
        self.next = 0

    def batch(self):
        self.next += BATCH
        return [event(number) for number in range(self.next - BATCH, self.next)]


def timed(connection, statements):
    """Rows per second of statements of one batch each, which are made beforehand."""
    with connection.cursor() as cursor:
        started = time.monotonic()
        for statement in statements:
            cursor.execute(statement)
        return BATCH * len(statements) / (time.monotonic() - started)


def p15():
    sql(
        "set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()"
    )
    bare_audit()
    sql(
        "drop table if exists public.bare_attributes",
        "create table public.bare_attributes (like admin.audit_attributes including indexes)",
    )
    # As FF ingests: a role that was granted the source.
    sql(
        "set client_min_messages = error; drop role if exists bench_ff",
        "create role bench_ff",
        "select admin.grant_access('bench_ff', 'checker', '/ff/')",
    )
    connection, numbers = connect(), Numbers()
    cursor = connection.cursor()
    ff = connect()
    ff.cursor().execute("set role bench_ff")

    def values(rows):
        return ", ".join(cursor.mogrify("(" + ", ".join(["%s"] * len(row)) + ")", row).decode() for row in rows)

    def ingest():
        return timed(
            ff,
            [
                cursor.mogrify("select admin.audit_ingest(%s)", (json.dumps(numbers.batch()),)).decode()
                for _ in range(BATCHES)
            ],
        )

    def insert(with_attributes):
        statements = []
        for _ in range(BATCHES):
            events = numbers.batch()
            rows = [
                (e["time"], "ingest." + e["type"], e["subject"], e["source"], e["id"], json.dumps(e["data"]))
                for e in events
            ]
            statement = (
                "insert into public.bare_audit (occurred_at, event_type, approval_id, source, source_event_id, payload) values "
                + values(rows)
            )
            if with_attributes:
                statement = (
                    "begin; "
                    + statement
                    + "; insert into public.bare_attributes values "
                    + values([(int(e["sequence"]), json.dumps({"sequence": e["sequence"]})) for e in events])
                    + "; commit"
                )
            statements.append(statement)
        return timed(connection, statements)

    what = "events a second by audit_ingest, 1000 a call, against a multi-row INSERT of the same rows with the same indexes"
    rounds = alternate(ingest, lambda: insert(True))
    report("P15", what, ("ingest", "insert"), rounds, 0.7)
    rounds = alternate(ingest, lambda: insert(False))
    report("P15_trail", what.replace("same rows", "rows of the trail alone"), ("ingest", "insert"), rounds, 0.7)
    ff.close()
    sql("drop owned by bench_ff", "drop role bench_ff")


def milliseconds(connection, statement, *arguments):
    with connection.cursor() as cursor:
        started = time.monotonic()
        cursor.execute(statement, arguments or None)
        return 1000 * (time.monotonic() - started)


def none_due():
    """Milliseconds of a sweep that finds nothing, and of a statement that does nothing, by turns."""
    load_approvals(LARGE, signed=False)
    sql(
        "insert into admin.sweep_due select approval_id, 'expired', sla_deadline + random() * interval '1 year' from admin.approval",
        "vacuum (analyze) admin.sweep_due",
    )
    connection = connect()
    times = alternate(
        *(
            lambda s=s: statistics.median(milliseconds(connection, s) for _ in range(200))
            for s in ("select admin.sweep_expired()", "select 1")
        )
    )
    report(
        "P16_none_due",
        f"milliseconds of a sweep with none due of {LARGE:,} approvals, against a statement that does nothing",
        ("sweep", "select 1"),
        times,
        1 / max(statistics.median(times[1]), 1e-9),
        "milliseconds",
        at_most=True,
        notes=("The bar is one millisecond.",),
    )


def waits_beside_sweep():
    """Milliseconds that people wait who withdraw approvals that are being swept, and how many are announced a second."""
    sql(
        "set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()"
    )
    sql(
        f"""insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
            select {ID.replace(":n", "n")}, 'pay', '{{r}}', 1, 'boss', now() - interval '1 hour' + n * interval '1 microsecond' from generate_series(1, {DUE}) as n""",
        "vacuum analyze admin.approval",
        "checkpoint",
    )
    over, waits = threading.Event(), []

    def people():
        session, chance = connect(), random.Random(1)
        cursor = session.cursor()
        while not over.is_set():
            cursor.execute(
                "select approval_id from admin.sweep_due where ttl_state = 'expired' order by due_at offset %s limit 1",
                (chance.randrange(5000),),
            )
            due = cursor.fetchone()
            waits.append(
                milliseconds(
                    session,
                    "update admin.approval set state = 'withdrawn', closed_at = now() where approval_id = %s and state <> 'withdrawn'",
                    due,
                )
            )
            time.sleep(0.005)

    thread = threading.Thread(target=people)
    thread.start()
    sweeper, started, announced = connect().cursor(), time.monotonic(), 0
    while True:
        sweeper.execute("select admin.sweep_expired()")
        count = sweeper.fetchone()[0]
        announced += count
        if count == 0:
            break
    rate = announced / (time.monotonic() - started)
    over.set()
    thread.join()
    return sorted(waits), rate


def p16():
    worst, p99, rates, counts = [], [], [], []
    for _ in range(ROUNDS):
        waits, rate = waits_beside_sweep()
        worst.append(waits[-1])
        p99.append(waits[int(len(waits) * 0.99)])
        rates.append(rate)
        counts.append(len(waits))
    report(
        "P16",
        f"milliseconds that a withdrawal waits while {DUE:,} due approvals are swept: the worst of each round, against the p99",
        ("worst", "p99"),
        (worst, p99),
        50 / statistics.median(p99),
        "milliseconds",
        at_most=True,
        notes=(
            f"The bar is 50 ms for the worst. {statistics.median(rates):,.0f} announced a second, {min(counts)} or more withdrawals a round.",
        ),
    )
    none_due()
