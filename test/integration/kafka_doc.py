"""What doc/kafka.md says to readers and operators, tried as it stands there; speaks TAP."""

import atexit
import base64
import json
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

from common import block
from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions
from harness import (
    ADMIN,
    BOOTSTRAP,
    CHECK,
    DELIVERED,
    SCRATCH,
    TOPIC,
    create_extension,
    kill_worker,
    main,
    ok,
    read_topic,
    settings,
    sql,
    wait,
)

PAGE = (pathlib.Path(__file__).parents[2] / "doc/kafka.md").read_text()


class Reader:
    """The page's reader in a process of its own, and what it prints: (partition, offset, day, auditid)."""

    def __init__(self):
        program = SCRATCH / "reader.py"
        program.write_text(block(PAGE, "python"))
        self.lines = []
        # Whoever runs us in the background has SIGINT ignored; it is what ends the reader.
        self.process = subprocess.Popen(
            [sys.executable, program, BOOTSTRAP, TOPIC, "archive"],
            stdout=subprocess.PIPE,
            cwd=SCRATCH,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        atexit.register(self.process.kill)
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        for line in self.process.stdout:
            partition, offset, recorded, auditid, _ = line.split()
            self.lines.append((int(partition), int(offset), recorded[:10], int(auditid)))

    def wait_for(self, count, name):
        deadline = time.monotonic() + 60
        while len(self.lines) < count and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.1)
        # Whatever is one too many comes soon after.
        time.sleep(1)
        ok(len(self.lines) == count, name, f"{len(self.lines)} lines instead of {count}")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self.thread.join()


def days(lines):
    """As the page's query answers."""
    found = {}
    for _, _, day, auditid in lines:
        found.setdefault(day, set()).add(auditid)
    return "\n".join(f"{day}|{len(ids)}|{min(ids)}|{max(ids)}" for day, ids in sorted(found.items()))


def begin():
    create_extension()
    sql(CHECK)
    wait(DELIVERED, "delivery has begun", 90)
    settings(sinks="kafka, ndjson, nosuch")
    wait(
        "select state = 'backing_off' and last_error ~ '^could not access file \"\\$libdir/admin_ext_nosuch\"' from admin.worker_status"
        " where sink = 'nosuch'",
        "a sink whose library was not built is named",
    )
    settings(sinks="kafka, ndjson")


def reader():
    for _ in range(5):
        sql(f"begin; {CHECK}; rollback")
        sql(CHECK)
    wait(DELIVERED, "the rows of a few batches are delivered")
    rows = int(sql("select count(*) from admin.audit"))
    archive = Reader()
    archive.wait_for(rows, f"the page's reader reads all {rows} rows")
    ok(
        days(archive.lines) == sql(block(PAGE, "sql")),
        "the archive is complete, says the page's query",
        (days(archive.lines), sql(block(PAGE, "sql"))),
    )
    numbers = sorted(auditid for _, _, _, auditid in archive.lines)
    ok(len(numbers) < numbers[-1], "auditid has gaps where transactions were rolled back", numbers)
    offsets = [(partition, offset) for partition, offset, _, _ in archive.lines]
    ok(
        sum(max(o for p, o in offsets if p == q) + 1 for q in {p for p, _ in offsets}) > rows,
        "the offsets of records have gaps",
        offsets,
    )

    sql("select admin.resync_sink('kafka', 1)")
    wait(DELIVERED, "all rows are delivered again after a resync from 1")
    sql(CHECK)
    wait(DELIVERED, "one row is delivered after a resync from 1")
    ok(
        len(read_topic()) == 2 * rows + 2,
        "after a resync the topic has older rows twice, the event of the resync and the new row once",
        len(read_topic()),
    )
    archive.wait_for(rows + 2, "the page's reader passes on each row once after a resync")
    ok(days(archive.lines) == sql(block(PAGE, "sql")), "the archive is complete after a resync, says the page's query")
    archive.stop()
    sql(CHECK)
    wait(DELIVERED, "a row is delivered while nobody reads")
    archive = Reader()
    archive.wait_for(1, "a reader that is started again goes on from where it was")
    archive.stop()


def unreadable():
    """Records of somebody else that are no documents, each in front of one of ours."""
    values = [
        b"\xff\xfe",
        b"{",
        b"",
        None,
        b"[1]",
        b"17",
        b"{}",
        b'{"source": "/x"}',
        b'"\xff"',
        b"\0\0\0\0",
        b'{"n": %s}' % (b"7" * 5000),
        b"[" * 100000,
        b'{"source": [], "id": {}}',
    ]
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "log_level": 0})
    reader = Reader()
    reader.wait_for(0, "a reader that is started again after all was read prints nothing")
    for value in values:
        for partition in range(3):
            producer.produce(TOPIC, value=value, partition=partition)
        producer.flush(30)
        sql(CHECK)
    wait(DELIVERED, "rows are delivered behind records that nobody can read")
    reader.wait_for(len(values), "the page's reader passes on each of our rows among unreadable records")
    reader.stop()
    letters = [json.loads(line) for line in (SCRATCH / "archive.dead.jsonl").read_text().splitlines()]
    ok(
        sorted((base64.b64decode(letter["value"]), letter["partition"]) for letter in letters)
        == sorted((value or b"", n) for value in values for n in range(3)),
        "the page's reader sets unreadable records aside, with their bytes",
        letters,
    )
    sql(CHECK)
    wait(DELIVERED, "a row is delivered behind records that were set aside")
    reader = Reader()
    reader.wait_for(1, "a reader that is started again goes on behind unreadable records")
    reader.stop()
    ok(
        len((SCRATCH / "archive.dead.jsonl").read_text().splitlines()) == len(letters),
        "a reader that is started again sets no record aside twice",
    )


def position_header():
    """On the last record of each transaction, and on no other."""
    before = sum("admin-ext-position" in headers for _, headers, _ in read_topic())
    sql("select count(admin_internal.append_event('size', '{}', 'APP-000001-k')) from generate_series(1, 100)")
    wait(DELIVERED, "a hundred rows of one transaction are delivered")
    records = read_topic()
    ok(
        sum("admin-ext-position" in headers for _, headers, _ in records) == before + 1,
        "a hundred rows of one transaction have one position among them",
    )
    ok(
        {key for key, _, event in records if "subject" not in event} <= {event["source"] for _, _, event in records},
        "a row without approval has the source for its key",
    )


def more_partitions():
    """Nothing is lost or sent twice; only the order across it is not promised."""
    ADMIN.create_partitions([NewPartitions(TOPIC, 6)])[TOPIC].result()
    for round in range(3):
        sql(
            "select count(admin_internal.append_event('size', '{}', format('APP-%s-k', n))) from generate_series(100001, 100050) as n"
        )
        wait(DELIVERED, f"rows are delivered into more partitions, round {round}", 90)
        kill_worker()
    sql(CHECK)
    wait(DELIVERED, "rows are delivered into more partitions after a kill", 90)
    sent = [event["auditid"] for _, _, event in read_topic() if event["type"] == "ptt.admin.size"]
    ok(
        len(sent) == len(set(sent)) == 250,
        "each row is in the topic once after partitions were added and workers killed",
        (len(sent), len(set(sent))),
    )


def options():
    """Those that the page recommends are taken, and deliver."""
    told = re.findall(
        r"admin_ext.kafka_options = '([^']*)'", PAGE[PAGE.index("## Throughput") : PAGE.index("## Security")]
    )
    ok(len(told) == 2, "the page has two lines of options", told)
    for line in told:
        settings(kafka_options=line)
        sql(CHECK)
        wait(DELIVERED, f"a row is delivered with {line}", 90)
    settings(kafka_options="statistics.interval.ms=500")
    pattern = re.compile(r"admin_ext: statistics of librdkafka: (\{.*\})")
    deadline = time.monotonic() + 30
    while (
        not (found := pattern.findall((SCRATCH / "server.log").read_text(errors="replace")))
        and time.monotonic() < deadline
    ):
        sql(CHECK)
        time.sleep(0.2)
    ok(found and json.loads(found[0])["type"] == "producer", "statistics are in the server's log, a line of JSON")


def who_sees_options():
    sql("create role reads_settings; grant pg_read_all_settings to reads_settings; create role nobody_special")
    shown = "set role {}; select count(*) from pg_settings where name = 'admin_ext.kafka_options'"
    ok(
        sql(shown.format("reads_settings")) == "1" and sql(shown.format("nobody_special")) == "0",
        "options are shown to whom the page says",
    )


if __name__ == "__main__":
    main(begin, reader, unreadable, position_header, more_partitions, options, who_sees_options)
