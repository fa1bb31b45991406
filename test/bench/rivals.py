"""What people use today, on the same machine and broker: Debezium's outbox, and PGQ with a consumer."""

import os
import pathlib
import statistics
import subprocess
import sys

import latency
from broker import Reader, drop_topic, make_topic
from core import PAYLOAD, ROWS, PeakMemory, alternate, connected_to, report, sql
from debezium import Debezium, at_port, logical_cluster
from kafka import APPROVAL, deliver_all, idle, kafka_sink, latency_of, notes, numbers, redeliver

from delivery import deliver, load_trail

TUNED = {"max.batch.size": "8192", "max.queue.size": "32768"}
TUNED_WORKER = {"producer.linger.ms": "5", "producer.batch.size": "262144"}
RATES = tuple(int(rate) for rate in os.environ.get("BENCH_RATES", "200 1000").split())


def our_delivery(peaks):
    """Rows per second from the worker's start to its last commit: more than is counted of Debezium."""
    try:
        return deliver_all(ROWS, peaks=peaks)
    finally:
        # Idle, but alive: it would take memory and CPU from the others.
        deliver(None)


def span_of_debezium(connect, peaks):
    """Rows per second from the first record in the topic to the last; it runs and is warm, the rows are there before it goes on."""
    with at_port(connect.port):
        sql("truncate outbox", "checkpoint")
        for _ in range(10):
            sql(
                f"insert into outbox (aggregatetype, aggregateid, type, payload) select 'load', {APPROVAL}, 'load', {PAYLOAD} from generate_series(1, {ROWS // 10}) as i"
            )
        sql("checkpoint")
    reader = Reader(connect.topic)
    connect.resume()
    with PeakMemory(connect.pid) as memory:
        reader.wait(ROWS, 600)
    connect.pause()
    peaks.append(memory.peak)
    seconds = reader.span(ROWS)
    reader.close()
    return ROWS / seconds


def span_of_pgq():
    """Rows per second of a Python consumer, from its first batch to its last commit, to a new topic; ticks are there before."""
    topic = f"bench.pgq.{next(numbers)}"
    make_topic(topic)
    with connected_to("pgq"):
        for _ in range(100):
            sql(
                f"select count(pgq.insert_event('bench', 'load', ({PAYLOAD})::text, {APPROVAL}, null, null, null)) from generate_series(1, {ROWS // 100}) as i",
                "select pgq.ticker('bench')",
            )
        sql("checkpoint")
        reader = Reader(topic)
        consumer = subprocess.run(
            [sys.executable, str(pathlib.Path(__file__).with_name("pgq_consumer.py")), topic, str(ROWS)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        # All have been consumed: its tables are emptied, as its maintenance would do it in time.
        for _ in range(3):
            sql("select pgq.maint_rotate_tables_step1('bench')", "select pgq.maint_rotate_tables_step2()")
    reader.span(ROWS)
    reader.close()
    drop_topic(topic)
    return ROWS / float(consumer.stdout)


def make_queue():
    sql("drop database if exists pgq", "create database pgq")
    with connected_to("pgq"):
        sql(
            "create extension pgq",
            "select pgq.create_queue('bench')",
            "select pgq.set_queue_config('bench', 'rotation_period', '0')",
            "select pgq.register_consumer('bench', 'kafka')",
            "select pgq.ticker('bench')",
        )


def p6():
    ours, debeziums = [], []
    with kafka_sink(), logical_cluster() as port, Debezium(port, "bench.debezium", TUNED, TUNED_WORKER) as connect:
        load_trail(ROWS, approval=APPROVAL)
        make_queue()
        rounds = alternate(
            lambda: our_delivery(ours), lambda: span_of_debezium(connect, debeziums), span_of_pgq, rounds=3
        )
        settings = [
            *notes(),
            connect.settings,
            "PGQ 3.5: ticks of a hundredth of the rows, Python consumer with psycopg2 and confluent-kafka, idempotent, lz4. "
            "The others send the payload alone, we the whole CloudEvents document; only ours is exactly once. "
            "Counted is: of ours, from the worker's start, connections and recovery included, to its last commit; of Debezium, warm and connected, from its first record to its last; "
            "of PGQ, connected, from its first batch to its last commit.",
        ]
    sql("drop database pgq")
    report(
        "P6_debezium",
        f"Kafka delivery of {ROWS:,} rows against Debezium's outbox, tuned",
        ("admin_ext", "Debezium"),
        rounds[:2],
        7,
        "rows per second",
        notes=settings,
    )
    report(
        "P6_pgq",
        f"Kafka delivery of {ROWS:,} rows against PGQ with a Python consumer",
        ("admin_ext", "PGQ"),
        (rounds[0], rounds[2]),
        2,
        "rows per second",
        notes=settings,
    )
    report(
        "P6_memory",
        f"peak of the worker's own memory (anonymous pages, with librdkafka's) against that of Debezium's JVM, delivering {ROWS:,} rows",
        ("admin_ext", "Debezium"),
        (ours[1:], debeziums[1:]),
        0.2,
        "MiB",
        at_most=True,
        notes=settings,
    )


def latency_of_debezium(connect, rate):
    connect.resume()
    try:
        with at_port(connect.port):
            return latency.measure(
                connect.topic, rate, "postgres", latency.INSERT_OUTBOX, connect.pid, connect.walsender()
            )
    finally:
        connect.pause()


def p8():
    with (
        kafka_sink(),
        logical_cluster() as port,
        Debezium(port, "bench.debezium", {"poll.interval.ms": "5"}, {}) as connect,
    ):
        load_trail(1000, approval=APPROVAL)
        redeliver()
        idle(rows=1000)
        settings = [*notes(), connect.settings]
        for rate in RATES:
            p8_at(rate, connect, settings)


def our_latency(rate):
    try:
        return latency_of("postgres", rate)
    finally:
        deliver(None)


def p8_at(rate, connect, settings):
    sides = alternate(lambda: our_latency(rate), lambda: latency_of_debezium(connect, rate), rounds=3)
    decoding = statistics.median(run["cpu_besides"] for run in sides[1])
    what = f"from commit to a read_committed consumer, {rate:,} rows/s for {latency.SECONDS} s, one row a transaction, against Debezium with poll.interval.ms=5"
    for percentile in ("p50", "p99"):
        report(
            f"P8_{rate}_{percentile}",
            f"{percentile} {what}",
            ("admin_ext", "Debezium"),
            [[run[percentile] for run in side] for side in sides],
            1.0,
            "ms",
            at_most=True,
            notes=settings,
        )
    report(
        f"P8_{rate}_cpu",
        f"CPU of the worker, reading included, against that of Debezium's JVM (the server decodes for it besides: {decoding:.1f} %), at {rate:,} rows/s",
        ("admin_ext", "Debezium"),
        [[run["cpu"] for run in side] for side in sides],
        0.2,
        "% of a core",
        at_most=True,
        notes=settings,
    )
