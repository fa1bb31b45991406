"""Debezium's outbox on Kafka Connect, with a cluster of its own whose wal_level is logical."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request

from broker import BOOTSTRAP, drop_topic, make_topic
from core import SCRATCH, sql

HEAP = os.environ.get("BENCH_DEBEZIUM_HEAP", "512m")
BIN = os.environ["PGBINDIR"]
AS_SERVER = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
OUTBOX = """create table outbox (id uuid primary key default gen_random_uuid(), aggregatetype text not null, aggregateid text not null,
            type text not null, payload json not null)"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def logical_cluster():
    """A cluster as the other one is, but logical and on loopback; within it clients connect to it.  Yields its port."""
    data, port = SCRATCH / "logical", free_port()
    subprocess.run(
        [*AS_SERVER, f"{BIN}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=SCRATCH,
    )
    with open(data / "postgresql.conf", "a") as conf:
        conf.write(
            f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{SCRATCH}'\nwal_level = logical\nfsync = on\nshared_buffers = '2GB'\n"
            "max_wal_size = '16GB'\ncheckpoint_timeout = '30min'\nautovacuum_naptime = '1h'\njit = off\n"
            # The connector is stopped while the other side is measured.
            "wal_sender_timeout = 0\n"
        )
    pg_ctl = [*AS_SERVER, f"{BIN}/pg_ctl", "-D", data, "-l", SCRATCH / "logical.log", "-w", "-t", "60"]
    subprocess.run([*pg_ctl, "start"], check=True, stdout=subprocess.DEVNULL, cwd=SCRATCH)
    try:
        yield port
    finally:
        subprocess.run([*pg_ctl, "-m", "immediate", "stop"], stdout=subprocess.DEVNULL, cwd=SCRATCH)
        subprocess.run(["rm", "-rf", data], check=True)


@contextlib.contextmanager
def at_port(port):
    """Within it, clients connect to the server of this port."""
    before, os.environ["PGPORT"] = os.environ["PGPORT"], str(port)
    try:
        yield
    finally:
        os.environ["PGPORT"] = before


class Debezium:
    """Kafka Connect, standalone, with one connector; stopped between its rounds, so that it takes no CPU then."""

    def __init__(self, port, topic, connector, worker):
        self.port, self.topic, self.rest = port, topic, free_port()
        self.connector = {
            "name": "outbox",
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "plugin.name": "pgoutput",
            "database.hostname": "127.0.0.1",
            "database.port": str(port),
            "database.user": "postgres",
            "database.password": "none",
            "database.dbname": "postgres",
            "topic.prefix": "debezium",
            "table.include.list": "public.outbox",
            "publication.autocreate.mode": "filtered",
            "slot.name": "debezium",
            "snapshot.mode": "no_data",
            "tombstones.on.delete": "false",
            "transforms": "outbox",
            "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
            "transforms.outbox.route.topic.replacement": topic,
            **connector,
        }
        self.worker = {
            "bootstrap.servers": BOOTSTRAP,
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            "offset.storage.file.filename": str(SCRATCH / "connect.offsets"),
            "plugin.path": os.environ["DEBEZIUM_PLUGINS"],
            "listeners": f"http://127.0.0.1:{self.rest}",
            "producer.compression.type": "lz4",
            **worker,
        }
        self.settings = (
            f"Debezium {os.environ['DEBEZIUM_VERSION']} on Kafka Connect {os.environ['KAFKA_VERSION']}, heap of {HEAP}, "
            + ", ".join(
                f"{name}={value}" for name, value in {**connector, **worker, "producer.compression.type": "lz4"}.items()
            )
        )

    def __enter__(self):
        make_topic(self.topic)
        with at_port(self.port):
            sql(OUTBOX)
        for name, values in (("connect", self.worker), ("connector", self.connector)):
            (SCRATCH / f"{name}.properties").write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        self.log = open(SCRATCH / "connect.log", "w")
        self.process = subprocess.Popen(
            [
                "java",
                "-server",
                f"-Xmx{HEAP}",
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-cp",
                os.environ["DEBEZIUM_LIBS"] + "/*",
                "org.apache.kafka.connect.cli.ConnectStandalone",
                str(SCRATCH / "connect.properties"),
                str(SCRATCH / "connector.properties"),
            ],
            stdout=self.log,
            stderr=self.log,
            cwd=SCRATCH,
        )
        self.pid = self.process.pid
        (SCRATCH / "debezium.pid").write_text(str(self.pid))
        try:
            self.wait_until_it_streams()
        except BaseException:
            self.__exit__()
            raise
        self.pause()
        return self

    def wait_until_it_streams(self, seconds=120):
        deadline = time.monotonic() + seconds
        while not (self.is_running() and self.walsender()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("Debezium does not start: " + (SCRATCH / "connect.log").read_text()[-3000:])
            time.sleep(0.5)

    def is_running(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/connectors/outbox/status", timeout=10) as answer:
                tasks = json.load(answer)["tasks"]
        except OSError:
            return False
        return bool(tasks) and all(task["state"] == "RUNNING" for task in tasks)

    def walsender(self):
        """The server's process that decodes for it; 0: none."""
        with at_port(self.port):
            return int(
                sql("select coalesce(max(active_pid), 0) from pg_replication_slots where slot_name = 'debezium'")
            )

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def __exit__(self, *_):
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        (SCRATCH / "debezium.pid").unlink()
        (SCRATCH / "connect.offsets").unlink(missing_ok=True)
        drop_topic(self.topic)
