"""The archiver at a backlog: documents a second, and its peak memory."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from core import report

BACKLOG = int(os.environ.get("BENCH_ARCHIVE", "5000000"))
PARTITIONS = 6
BATCH = 10_000
DOCUMENT_BYTES = 700
DOCUMENTS_A_SECOND = 50_000
MEBIBYTES = 256
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "archive"))


def fill(topic):
    """A backlog of documents of some 700 bytes that differ, in batches of the worker's size."""
    import harness
    from producer import Worker

    worker = Worker(harness.BOOTSTRAP, topic, PARTITIONS, **{"queue.buffering.max.messages": 50_000})
    pad = "".join(chr(97 + (number * 7919) % 26) for number in range(DOCUMENT_BYTES - 330))
    for start in range(0, BACKLOG, BATCH):
        bodies = [
            (
                f'{{"specversion":"1.0","id":"{number}","source":"/admin_ext/{worker.store}","type":"ptt.admin.sensitive.check.2b",'
                f'"subject":"APP-{number % 1000000:06d}-bench","time":"2026-11-30T12:00:00.{number % 1000000:06d}Z","datacontenttype":"application/json",'
                f'"sequence":"{number:019d}","auditid":"{number}","data":{{"n":{number * 2654435761 % 2**32},"pad":"{pad[number % 97 :]}"}}}}'
            ).encode()
            for number in range(start + 1, min(start + BATCH, BACKLOG) + 1)
        ]
        worker.batch(bodies)
        worker.ledger.clear()
    return worker, len(bodies[0])


def measure(archiver):
    """One run to the end: seconds, seconds of CPU and peak memory in MiB, all threads of the process."""
    started = time.monotonic()
    with open(archiver.log, "ab") as log:
        process = subprocess.Popen(archiver.command("--until-end"), stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(archiver.text())
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def p19():
    """A document costs the same CPU whoever else runs: seconds of CPU count, the time is printed beside."""
    import harness

    topic = harness.make_topic(PARTITIONS)
    worker, size = fill(topic)
    with tempfile.TemporaryDirectory() as folder:
        rounds = []
        for _ in range(int(os.environ.get("BENCH_ROUNDS", "3"))):
            archiver = harness.Archiver(pathlib.Path(folder), topic)
            rounds.append(measure(archiver))
            last = json.loads(archiver.seals(worker.store)[-1][1])["last"]
            if last != BACKLOG:
                raise RuntimeError(f"archived up to {last} of {BACKLOG}")
            print(
                "    " + ", ".join(f"{value:.1f} {unit}" for value, unit in zip(rounds[-1], ("s", "s of CPU", "MiB"))),
                flush=True,
            )
    rates = [BACKLOG / cpu for _, cpu, _ in rounds]
    peaks = [peak for _, _, peak in rounds]
    busy = (
        f"{BACKLOG:,} documents of {size} bytes in {PARTITIONS} partitions; real time {', '.join(f'{wall:.0f} s' for wall, _, _ in rounds)}; "
        f"load average at the end {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, broker and object store on the same machine"
    )
    report(
        "P19",
        "archiver: documents for each second of one core",
        ("archiver", "bar"),
        [rates, [DOCUMENTS_A_SECOND] * len(rates)],
        1.0,
        notes=(busy,),
    )
    report(
        "P19_memory",
        "archiver: peak memory at the backlog",
        ("archiver", "bar"),
        [peaks, [MEBIBYTES] * len(peaks)],
        1.0,
        unit="MiB",
        at_most=True,
        notes=(busy,),
    )
