"""What delivery numbers and the delivery chain cost: with them against a build that does not hash."""

import os
import subprocess

import kafka
from core import ROWS, SCRATCH, alternate, report

import delivery
from delivery import deliver, load_trail

AS_SERVER = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
BUILDS = {"chain": os.environ["PGBINDIR"], "none": os.environ.get("WITHOUT_HASHING", "")}


def run_build(name):
    """Restarts the scratch server from this build's directory."""
    pg_ctl = [
        *AS_SERVER,
        f"{BUILDS[name]}/pg_ctl",
        "-D",
        SCRATCH / "data",
        "-l",
        SCRATCH / "server.log",
        "-w",
        "-t",
        "120",
    ]
    for action in (["-m", "fast", "stop"], ["start"]):
        subprocess.run([*pg_ctl, *action], check=True, stdout=subprocess.DEVNULL, cwd=SCRATCH)


def side(name, deliver_all):
    """Rows per second of a build, once its server has the trail in memory."""

    def deliver_with_build():
        deliver(None)
        run_build(name)
        deliver_all(ROWS)
        return deliver_all(ROWS)

    return deliver_with_build


def load_note():
    """Whoever else has the cores has that of the thread that hashes."""
    return f"Load average of the machine in the minutes of the run: {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores; the thread that hashes needs one of its own."


def compare(deliver_all):
    return alternate(side("chain", deliver_all), side("none", deliver_all))


def p21():
    load_trail(ROWS)
    rounds = compare(delivery.deliver_all)
    deliver(None)
    report(
        "P21_ndjson",
        f"NDJSON delivery of {ROWS:,} rows with the hashes of chain and files, against a build that computes neither",
        ("chain", "none"),
        rounds,
        0.9,
        "rows per second",
        notes=(load_note(),),
    )
    with kafka.kafka_sink():
        load_trail(ROWS, approval=kafka.APPROVAL)
        rounds = compare(kafka.deliver_all)
        settings = kafka.notes()
    run_build("chain")
    report(
        "P21_kafka",
        f"Kafka delivery of {ROWS:,} rows with the hash of the chain, against a build that computes none",
        ("chain", "none"),
        rounds,
        0.9,
        "rows per second",
        notes=[*settings, load_note()],
    )
