"""From commit to a read_committed consumer: a writer at a fixed rate, a reader in a process of its own.

The writer puts the time into the row just before its commit, the reader compares it with
the time of receipt: one machine, one clock.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from core import connected_to, cpu_of

SECONDS = int(os.environ.get("BENCH_LATENCY", "20"))
AT = "('{\"at\": ' || extract(epoch from clock_timestamp()) || ', \"text\": \"' || repeat('abcdefghij', 38) || '\"}')::json"
INSERT_AUDIT = f"\\set n random(0, 999)\nselect admin_internal.append_event('bench', {AT}, 'APP-' || lpad((:n)::text, 6, '0') || '-x');\n"
INSERT_OUTBOX = f"\\set n random(0, 999)\ninsert into outbox (aggregatetype, aggregateid, type, payload) values ('bench', 'APP-' || lpad((:n)::text, 6, '0') || '-x', 'bench', {AT});\n"


def write(script, rate, database, seconds=SECONDS):
    """One row a transaction at this rate; returns how many there were."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file, connected_to(database):
        file.write(script)
        file.flush()
        output = subprocess.run(
            [
                "pgbench",
                "-n",
                "-M",
                "prepared",
                "-c",
                "4",
                "-j",
                "1",
                "-R",
                str(rate),
                "-T",
                str(seconds),
                "-f",
                file.name,
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    return int(next(line for line in output.splitlines() if "actually processed" in line).split(":")[1].split("/")[0])


def measure(topic, rate, database, script, *pids):
    """Milliseconds at p50 and p99, and the share of a core, in percent, that these processes took."""
    reader = subprocess.Popen(
        [sys.executable, str(pathlib.Path(__file__).with_name("latency_reader.py")), topic],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if reader.stdout.readline() != "ready\n":
            raise RuntimeError("the reader does not start")
        before = [cpu_of(pid) for pid in pids]
        written = write(script, rate, database)
        used = [(cpu_of(pid) - start) / SECONDS * 100 for pid, start in zip(pids, before)]
        output = reader.communicate(f"{written}\n", timeout=90)[0]
    finally:
        reader.kill()
    result = {**json.loads(output), "cpu": used[0], "cpu_besides": sum(used[1:])}
    print(f"    {topic} at {rate}/s, {written} rows: {result}", flush=True)
    return result
