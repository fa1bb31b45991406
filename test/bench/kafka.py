"""Delivery to Kafka: against librdkafka alone, with a transaction held open, memory, a profile."""

import contextlib
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess

import latency
from broker import BOOTSTRAP, PARTITIONS, Reader, drop_topic, make_topic, warm_up
from core import RESULTS, ROWS, SCRATCH, PeakMemory, alternate, connected_to, cpu_of, report, sql, wait

from delivery import deliver, held_transaction, idle_minute, load_trail, rows_of, worker_pid, write_a_while

SOURCE = pathlib.Path(__file__).parents[2] / "src/sinks/kafka/kafka_config.c"
LARGE = int(os.environ.get("BENCH_LARGE", "5000000"))
# A thousand approvals, so that the partitions share the rows.
APPROVAL = "'APP-' || lpad((i % 1000)::text, 6, '0') || '-x'"
numbers = itertools.count(1)
topics = {}


def worker_properties():
    """What the sink sets where kafka_options say nothing, read from its source."""
    block = re.search(r"defaults\[\] = \{(.*?)\n\};", SOURCE.read_text(), re.S).group(1)
    return dict(re.findall(r'\{"([^"]+)", "([^"]*)"\}', block))


def notes():
    settings = ";".join(f"{name}={value}" for name, value in worker_properties().items())
    return [
        f"Apache Kafka {os.environ['KAFKA_VERSION']}, one broker on the same machine, {PARTITIONS} partitions; librdkafka {os.environ['RDKAFKA_VERSION']} with {settings}; "
        f"admin_ext.batch_rows {sql('show admin_ext.batch_rows')}, batch_bytes {sql('show admin_ext.batch_bytes')}, linger {sql('show admin_ext.linger')}, fsync {sql('show fsync')}"
    ]


@contextlib.contextmanager
def kafka_sink():
    """Within it the sink is Kafka, the broker is warm, and nothing is delivered yet."""
    warm_up()
    deliver(None)
    sql(
        "alter system set admin_ext.sinks = 'kafka'",
        f"alter system set admin_ext.kafka_brokers = '{BOOTSTRAP}'",
        "select pg_reload_conf()",
    )
    try:
        yield
    finally:
        deliver(None)
        sql(
            "alter system reset admin_ext.sinks",
            "alter system reset admin_ext.kafka_brokers",
            "alter system reset admin_ext.kafka_topic",
            "select pg_reload_conf()",
        )
        for topic in set(topics.values()):
            drop_topic(topic)
        topics.clear()


def idle(database="postgres", rows=0):
    # Asked seldom: a psql each time, on cores that all sides share.
    wait(
        f"select state = 'idle' and delivered_rows >= {rows} from admin.worker_status where database = '{database}'",
        every=0.2,
    )


def redeliver(database="postgres"):
    """Begins to deliver everything again, in windows, to a new topic; as an operator's row would say it."""
    deliver(None)
    if database in topics:
        drop_topic(topics[database])
    topics[database] = f"bench.{database}.{next(numbers)}"
    make_topic(topics[database])
    with connected_to(database):
        sql("""insert into admin.sink_position (sink, position_id, store_id, tick_id)
               select sink, max(position_id) + 1, (select store_id from admin.store), 0 from admin.sink_position group by sink""")
    resume(database)


def resume(database):
    """Goes on where this database's delivery was left, in its own topic."""
    sql(f"alter system set admin_ext.kafka_topic = '{topics[database]}'", "select pg_reload_conf()")
    deliver(database)


def deliver_all(rows, database="postgres", peaks=None):
    """Rows per second from the worker's start, connections and recovery included, to its last commit."""
    redeliver(database)
    reader = Reader(topics[database])
    reader.starts = [0] * PARTITIONS
    with PeakMemory(worker_pid(database)) as memory:
        idle(database, rows)
    if peaks is not None:
        peaks.append(memory.peak)
    seconds = float(
        sql(
            f"select extract(epoch from last_delivery_at - started_at) from admin.worker_status where database = '{database}'"
        )
    )
    # Exactly once: what a read_committed consumer sees is so many records, no more and no less.
    # With the rows come a few events, of the position that was written by hand and of settings.
    with connected_to(database):
        reader.span(int(sql("select count(*) from admin.audit")))
    reader.close()
    return rows / seconds


def documents():
    """The documents of the trail, in files: those that the NDJSON sink writes."""
    # Of another benchmark there may be files.
    shutil.rmtree(SCRATCH / "data/admin_ext", ignore_errors=True)
    sql(
        "alter system set admin_ext.sinks = 'ndjson'",
        "alter system set admin_ext.ndjson_rotate_size = '1GB'",
        "select pg_reload_conf()",
    )
    deliver("postgres")
    idle(rows=ROWS)
    deliver(None)
    sql(
        "alter system set admin_ext.sinks = 'kafka'",
        "alter system reset admin_ext.ndjson_rotate_size",
        "select pg_reload_conf()",
    )
    kept = SCRATCH / "documents"
    shutil.rmtree(kept, ignore_errors=True)
    (SCRATCH / "data/admin_ext").rename(kept)
    files = sorted(kept.glob("*-*.ndjson"))
    for file in files:
        # Without the few events of settings, which have no subject.
        lines = [line for line in file.read_bytes().splitlines(keepends=True) if b'"subject":' in line]
        file.write_bytes(b"".join(lines))
    return files


def build_sender():
    sender = SCRATCH / "kafka_sender"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "rdkafka"], check=True, capture_output=True, text=True
    ).stdout.split()
    subprocess.run(
        [
            "gcc",
            "-O2",
            "-Wall",
            "-D_GNU_SOURCE",
            str(pathlib.Path(__file__).with_name("kafka_sender.c")),
            "-o",
            str(sender),
            *flags,
        ],
        check=True,
    )
    return sender


def send_all(sender, files, rows):
    """Rows per second of librdkafka alone, idempotent, to a new topic."""
    topic = f"bench.alone.{next(numbers)}"
    make_topic(topic)
    properties = {
        **worker_properties(),
        "bootstrap.servers": BOOTSTRAP,
        "enable.idempotence": "true",
        "client.id": "alone",
    }
    arguments = [sender, topic, ";".join(f"{name}={value}" for name, value in properties.items()), *files]
    sent, seconds = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()
    drop_topic(topic)
    if int(sent) != rows:
        raise RuntimeError(f"{sent} records of {rows}")
    return rows / float(seconds)


def p5():
    with kafka_sink():
        load_trail(ROWS, approval=APPROVAL)
        files, sender = documents(), build_sender()
        size = sum(file.stat().st_size for file in files) / ROWS
        rounds = alternate(lambda: deliver_all(ROWS), lambda: send_all(sender, files, ROWS), rounds=3)
        settings = notes()
        profile()
    report(
        "P5",
        f"Kafka delivery, exactly once, of {ROWS:,} rows (documents of {size:.0f} bytes), against librdkafka alone sending the same records idempotently, from memory",
        ("deliver", "librdkafka"),
        rounds,
        0.5,
        "rows per second",
        notes=settings,
    )


def profile():
    """Where the worker's time goes, by perf: a table of functions, of it and of librdkafka's threads."""
    if shutil.which("perf") is None:
        print("P5_profile: skipped, perf is not installed (package linux-perf)", flush=True)
        return
    data = SCRATCH / "perf.data"
    redeliver()
    wait("select delivered_rows > 0 from admin.worker_status")
    pid = worker_pid()
    perf = subprocess.Popen(
        ["perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-p", str(pid), "-o", str(data)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    used = cpu_of(pid)
    idle(rows=ROWS)
    used = cpu_of(pid) - used
    perf.send_signal(signal.SIGINT)
    problem = perf.communicate(timeout=60)[1]
    if not data.exists():
        print(f"P5_profile: skipped, perf cannot record: {problem.strip()}", flush=True)
        return
    tables = [perf_table(data, columns) for columns in ("comm", "dso", "comm,dso,symbol")]
    text = [
        "# P5_profile",
        "",
        f"Samples of the worker's process (perf, cpu-clock) while it delivers {ROWS:,} rows to Kafka, {used:.1f} s of CPU in all; the threads rdk: are librdkafka's, "
        "the other one is the worker's own.",
        "",
    ]
    (RESULTS / "P5_profile.md").write_text("\n".join(text + ["\n".join(table) + "\n" for table in tables]))
    print("\n".join(tables[0] + tables[2][:12]), flush=True)


def perf_table(data, columns, most=40):
    output = subprocess.run(
        [
            "perf",
            "report",
            "-i",
            str(data),
            "--stdio",
            "-q",
            "--no-children",
            "-s",
            columns,
            "-t",
            "|",
            "--percent-limit",
            "0.5",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [re.sub(r"\[[.k]\] ", "", line.strip()).split("|") for line in output.splitlines() if "%" in line]
    width = columns.count(",") + 2
    return [
        "| " + " | ".join(cell.strip() for cell in row[:width]) + " |"
        for row in [["share", *columns.split(",")], ["---"] * width, *rows[:most]]
    ]


def p9k():
    """Two databases of equal contents, both delivered; in one a transaction holds a snapshot and a row of its own."""
    deliver(None)
    sql("drop database if exists held", "create database held")
    for database in ("postgres", "held"):
        load_trail(ROWS, database=database, approval=APPROVAL)
    with kafka_sink():
        for database in ("held", "postgres"):
            redeliver(database)
            idle(database, ROWS)
        deliver("held,postgres")
        with held_transaction("held"):
            seconds = write_a_while("postgres", "held")
            totals = {database: rows_of(database) for database in ("held", "postgres")}
            rates = alternate(
                lambda: deliver_all(totals["held"], "held"), lambda: deliver_all(totals["postgres"]), rounds=3
            )
            latencies = alternate(lambda: latency_of("postgres", 1000), lambda: latency_of("held", 1000), rounds=3)
            settings = notes()
    sql("drop database held")
    report(
        "P9k",
        f"Kafka delivery of {ROWS:,} rows and {seconds} s of writing, with a transaction held open all the while against none",
        ("held", "none"),
        rates,
        0.95,
        "rows per second",
        notes=settings,
    )
    for percentile in ("p50", "p99"):
        report(
            f"P9k_{percentile}",
            f"{percentile} from commit to a read_committed consumer at 1,000 rows/s: none held against a transaction held open for {seconds} s and more",
            ("none", "held"),
            [[run[percentile] for run in side] for side in latencies],
            0.95,
            "ms",
            notes=settings,
        )


def latency_of(database, rate):
    """What a consumer sees of a database's writes at a fixed rate."""
    resume(database)
    idle(database)
    return latency.measure(topics[database], rate, database, latency.INSERT_AUDIT, worker_pid(database))


def p11k():
    """librdkafka's threads included: before 2.4.0 each handle's main thread spins for half a millisecond a second, and there are two."""
    with kafka_sink():
        load_trail(1000, approval=APPROVAL)
        deliver_all(1000)
        workers, used, written = idle_minute()
        settings = notes()
    report(
        "P11k",
        f"idle Kafka worker for 60 s: {workers} processes, {written} bytes of WAL written; seconds of CPU against 0.1 % of a core",
        ("used", "allowed"),
        [[used], [0.06]],
        1.0,
        "seconds",
        at_most=True,
        besides=written == 0,
        notes=settings,
    )


def p10k():
    """The worker's own memory, its connections' included."""
    peaks = {}
    with kafka_sink():
        for rows, transactions in ((10_000, 1), (LARGE * 2 // 5, 1), (LARGE, 50)):
            load_trail(rows, transactions, approval=APPROVAL)
            found = []
            deliver_all(rows, peaks=found)
            deliver(None)
            label = f"{rows:,} rows in {transactions}"
            peaks[label] = found[0]
            print(f"P10k: {label}: {peaks[label]:.1f} MiB", flush=True)
        settings = notes()
    small = next(iter(peaks.values()))
    report(
        "P10k",
        "Kafka worker's peak memory: 10 k rows + 64 MiB against "
        + ", ".join(f"{k}: {v:.0f} MiB" for k, v in peaks.items())
        + f" (+ {max(peaks.values()) - small:.0f} MiB)",
        ("allowed", "used"),
        [[small + 64], [max(peaks.values())]],
        1.0,
        "MiB",
        notes=settings,
    )
