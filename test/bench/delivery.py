"""Delivery to NDJSON files: throughput, a held transaction, memory, idle, writers."""

import contextlib
import os
import statistics
import subprocess
import tempfile
import time

from core import (
    ID,
    PAYLOAD,
    ROWS,
    SCRATCH,
    SECONDS,
    PeakMemory,
    alternate,
    connected_to,
    cpu_seconds,
    load_approvals,
    pgbench,
    report,
    sql,
    wait,
)


def deliver(databases):
    """Delivers these databases, in alphabetical order and separated by commas, and no other; None: nothing is delivered."""
    wanted = databases or ""
    sql(f"alter system set admin_ext.databases = '{wanted}'", "select pg_reload_conf()")
    # A worker that has been told to end may still be there.
    wait(
        f"select count(*) = 0 from pg_stat_activity where backend_type = 'admin_ext worker' and (datname = any(string_to_array('{wanted}', ','))) is not true"
    )
    if sql("select to_regproc('admin_internal.worker_status_rows') is not null") == "t":
        wait(
            f"select coalesce(string_agg(distinct database, ',' order by database), '') = '{wanted}' from admin_internal.worker_status_rows()"
        )


def load_trail(rows, transactions=1, database="postgres", approval="'APP-000001-x'"):
    with connected_to(database):
        sql(
            "set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()"
        )
        for _ in range(transactions):
            sql(
                f"select count(admin_internal.append_event('load', {PAYLOAD}, {approval})) from generate_series(1, {rows // transactions}) as i"
            )
        sql("vacuum (analyze) admin.audit", "checkpoint")


def redeliver(database="postgres"):
    """Begins to deliver everything again, in windows, to new files; as an operator's row would say it."""
    deliver(None)
    with connected_to(database):
        sql("""insert into admin.sink_position (sink, position_id, store_id, tick_id)
               select sink, max(position_id) + 1, (select store_id from admin.store), 0 from admin.sink_position group by sink""")
    subprocess.run(["rm", "-rf", str(SCRATCH / "data/admin_ext")], check=True)
    deliver(database)


def deliver_all(rows, database="postgres"):
    """Rows per second from the worker's first look to the last position."""
    redeliver(database)
    wait(f"select delivered_rows >= {rows} and state = 'idle' from admin.worker_status")
    return rows / float(sql("select extract(epoch from last_delivery_at - started_at) from admin.worker_status"))


def copy_all(rows):
    with tempfile.TemporaryDirectory() as directory:
        started = time.monotonic()
        subprocess.run(
            ["psql", "-Xq", "-c", f"\\copy (select payload from admin.audit) to '{directory}/copy'"], check=True
        )
        return rows / (time.monotonic() - started)


def p7():
    load_trail(ROWS)
    rounds = alternate(lambda: deliver_all(ROWS), lambda: copy_all(ROWS), rounds=3)
    report(
        "P7",
        f"NDJSON delivery of {ROWS:,} rows, fsync per batch, against \\copy of the payloads",
        ("deliver", "copy"),
        rounds,
        0.7,
        "rows per second",
    )


@contextlib.contextmanager
def held_transaction(database):
    """Within it a transaction of this database holds a snapshot, and a row of its own in the trail."""
    holder = subprocess.Popen(["psql", "-XAtq", database], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        holder.stdin.write(
            "begin isolation level repeatable read; select admin_internal.append_event('held', '{}'); select count(*) from admin.audit;\n"
        )
        holder.stdin.flush()
        wait("select count(*) = 1 from pg_stat_activity where state = 'idle in transaction'")
        yield
    finally:
        holder.communicate("commit;\n")


def write_a_while(*databases):
    """Checks at 500/s in each of them; returns for how many seconds."""
    seconds = os.environ.get("BENCH_HELD", "180")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write("select admin.sensitive_check('APP-000001-x');\n")
        script.flush()
        writers = [
            subprocess.Popen(
                ["pgbench", "-n", "-T", seconds, "-R", "500", "-f", script.name, database],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for database in databases
        ]
        for writer in writers:
            writer.wait()
    return seconds


def rows_of(database):
    with connected_to(database):
        return int(sql("select count(*) from admin.audit"))


def p9():
    """Two databases of equal contents; in one a transaction holds a snapshot and a row of its own."""
    deliver(None)
    sql("drop database if exists held", "create database held")
    for database in ("postgres", "held"):
        load_trail(ROWS, database=database)
    # The worker's sink has a position before anything is held.
    for database in ("held", "postgres"):
        deliver(database)
        wait("select last_audit_id is not null and state = 'idle' from admin.worker_status")
    with held_transaction("held"):
        seconds = write_a_while("postgres", "held")
        totals = {database: rows_of(database) for database in ("held", "postgres")}
        rounds = alternate(
            lambda: deliver_all(totals["held"], "held"), lambda: deliver_all(totals["postgres"]), rounds=7
        )
    deliver(None)
    sql("drop database held")
    report(
        "P9",
        f"NDJSON delivery of {ROWS:,} rows and {seconds} s of writing, with a transaction held open all the while against none",
        ("held", "none"),
        rounds,
        0.95,
        "rows per second",
    )


def peak_memory(rows):
    """Peak of the worker's own memory in MiB while it delivers everything."""
    redeliver()
    with PeakMemory(worker_pid()) as memory:
        wait(f"select delivered_rows >= {rows} from admin.worker_status")
    deliver(None)
    return memory.peak


def worker_pid(database="postgres"):
    wait(f"select count(pid) = 1 from admin.worker_status where database = '{database}'")
    return int(sql(f"select pid from admin.worker_status where database = '{database}'"))


def p10():
    peaks = {}
    for label, rows, transactions in (("10 k", 10_000, 1), ("one of 2 M", 2_000_000, 1), ("5 M", 5_000_000, 50)):
        load_trail(rows, transactions)
        peaks[label] = peak_memory(rows)
        print(f"P10: {label} rows: {peaks[label]:.1f} MiB", flush=True)
    worst = max(peaks.values()) - peaks["10 k"]
    report(
        "P10",
        "worker's peak memory: 10 k rows + 64 MiB against "
        + ", ".join(f"{k}: {v:.0f} MiB" for k, v in peaks.items())
        + f" (+ {worst:.0f} MiB)",
        ("allowed", "used"),
        [[peaks["10 k"] + 64], [max(peaks.values())]],
        1.0,
        "MiB",
    )


def wal_position():
    return sql("select pg_current_wal_insert_lsn()")


def wait_for_quiet_wal(seconds=40):
    """Until the server itself has nothing to write any more: its last is a record of running transactions, up to 25 s after a checkpoint."""
    deadline, since, seen = time.monotonic() + 180, time.monotonic(), wal_position()
    while time.monotonic() < since + seconds:
        if time.monotonic() > deadline:
            raise TimeoutError("the server goes on writing WAL")
        time.sleep(0.5)
        now = wal_position()
        if now != seen:
            since, seen = time.monotonic(), now


def idle_minute():
    """Of a worker that has nothing to deliver: how many processes there are, the CPU they use in it, and the bytes of WAL."""
    wait("select last_audit_id is not null and state = 'idle' from admin.worker_status")
    sql("checkpoint")
    wait_for_quiet_wal()
    workers, before = cpu_seconds()
    wal = wal_position()
    time.sleep(60)
    used = cpu_seconds()[1] - before
    return workers, used, int(sql(f"select pg_current_wal_insert_lsn() - '{wal}'"))


def p11():
    load_trail(1000)
    deliver("postgres")
    workers, used, written = idle_minute()
    report(
        "P11",
        f"idle for 60 s: {workers} processes, {written} bytes of WAL written; seconds of CPU against 0.1 % of a core",
        ("used", "allowed"),
        [[used], [0.06]],
        1.0,
        "seconds",
        at_most=True,
        besides=written == 0,
    )


def p13():
    """What the cores allow is what they give without delivery, less the share that the worker itself uses."""
    load_approvals(100_000)
    script = f"\\set n random(0, 99999)\nselect admin.sensitive_check({ID});\n"
    shares, lags = [], []

    def on():
        deliver("postgres")
        wait("select state = 'idle' from admin.worker_status")
        before = cpu_seconds("admin_ext worker")[1]
        rate = pgbench(script, 8)
        shares.append((cpu_seconds("admin_ext worker")[1] - before) / SECONDS / os.cpu_count())
        lags.append(float(sql("select lag_seconds from admin.worker_status")))
        return rate

    def off():
        deliver(None)
        return pgbench(script, 8)

    rates = alternate(on, off)
    allowed = [rate * (1 - share) for rate, share in zip(rates[1], shares[1:])]
    plain = statistics.median(rates[0]) / statistics.median(rates[1])
    report(
        "P13",
        f"8 writers' checks while delivery keeps up (lag at most {max(lags):.2f} s at the end), against what the cores allow: delivery off "
        f"({statistics.median(rates[1]):,.0f}) less the worker's share of the CPU ({statistics.median(shares) * 100:.0f} %); without that allowance the ratio is {plain:.2f}",
        ("on", "allowed"),
        [rates[0], allowed],
        0.9,
    )
