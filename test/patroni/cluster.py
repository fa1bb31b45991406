"""Two nodes under Patroni, one etcd: made, killed and asked.

Everything listens on loopback, at ports that were free, and is ended by its pid.
"""

import json
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import psycopg2

SCRATCH = pathlib.Path(os.environ["SCRATCH"])
BIN = os.environ["PGBINDIR"]
FILES = SCRATCH / "files"
CONFIG = """
scope: admin_ext
name: {name}
restapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}
etcd3: {{host: '127.0.0.1:{etcd}'}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 5
    maximum_lag_on_failover: 1048576
    synchronous_mode: {synchronous}
    postgresql:
      use_pg_rewind: true
      parameters:
        shared_preload_libraries: admin_ext
        admin_ext.databases: postgres
        admin_ext.sinks: ndjson, kafka
        admin_ext.kafka_brokers: '{brokers}'
        admin_ext.ndjson_directory: '{files}'
        admin_ext.retry_backoff_max: 1s
        max_worker_processes: 20
        wal_log_hints: 'on'
        timezone: UTC
  initdb: [{{encoding: UTF8}}, {{locale: C}}, {{auth: trust}}]
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
postgresql:
  listen: '127.0.0.1:{port}'
  connect_address: '127.0.0.1:{port}'
  data_dir: '{home}/data'
  bin_dir: '{bin}'
  pgpass: '{home}/pgpass'
  authentication:
    superuser: {{username: postgres}}
    replication: {{username: replicator}}
    rewind: {{username: postgres}}
  parameters: {{unix_socket_directories: '{home}'}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def poll(condition, seconds=90):
    """Asks until it is true, with a deadline; returns the answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


def start(command, log):
    """A process of the server's user, in a group of its own."""
    user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    with open(log, "ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, cwd=SCRATCH, start_new_session=True, **identity)


class Etcd:
    def __init__(self):
        self.port, peer = free_port(), free_port()
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{peer}"
        self.process = start(
            [
                "etcd",
                "--data-dir",
                str(SCRATCH / "etcd"),
                "--listen-client-urls",
                client,
                "--advertise-client-urls",
                client,
                "--listen-peer-urls",
                peer,
                "--initial-advertise-peer-urls",
                peer,
                "--initial-cluster",
                f"default={peer}",
                "--unsafe-no-fsync",
            ],
            SCRATCH / "etcd.log",
        )

    def stop(self):
        self.process.kill()
        self.process.wait()


class Node:
    def __init__(self, name, etcd, synchronous=True):
        self.name, self.port, self.rest = name, free_port(), free_port()
        self.home, self.process = SCRATCH / name, None
        self.home.mkdir()
        self.config = self.home / "patroni.yml"
        self.config.write_text(
            CONFIG.format(
                name=name,
                rest=self.rest,
                etcd=etcd.port,
                port=self.port,
                home=self.home,
                bin=BIN,
                files=FILES,
                brokers=os.environ["KAFKA_BOOTSTRAP"],
                synchronous=str(synchronous).lower(),
            )
        )
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "postgres", self.home], check=True)

    def start(self):
        self.process = start(["patroni", str(self.config)], self.home / "patroni.log")

    def connect(self):
        return psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", connect_timeout=3)

    def sql(self, text, *arguments):
        """Rows of a statement, or None where the node does not answer."""
        try:
            connection = self.connect()
        except psycopg2.OperationalError:
            return None
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text, arguments or None)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.OperationalError:
            return None
        finally:
            connection.close()

    def value(self, text, *arguments):
        rows = self.sql(text, *arguments)
        return rows[0][0] if rows else None

    def asked(self, path):
        """What its REST interface says, or None."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/{path}", timeout=3) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def postmaster(self):
        try:
            return int((self.home / "data" / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def kill_postmaster(self):
        pid = self.postmaster()
        if pid:
            os.kill(pid, signal.SIGKILL)

    def kill(self):
        """As a machine that loses its power: Patroni first, so that it starts nothing again."""
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None
        self.kill_postmaster()

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()


class Cluster:
    def __init__(self, synchronous=True):
        self.etcd = Etcd()
        self.nodes = [Node(name, self.etcd, synchronous) for name in ("one", "two")]

    def start(self):
        self.nodes[0].start()
        if not poll(self.primary):
            raise TimeoutError("no primary")
        self.nodes[1].start()
        return poll(self.is_whole)

    def primary(self):
        """The node that is primary, by its own word and by Patroni's."""
        for node in self.nodes:
            if (
                node.process
                and (node.asked("primary") or {}).get("role") in ("master", "primary")
                and node.value("select pg_is_in_recovery()") is False
            ):
                return node
        return None

    def is_whole(self):
        """Is there a primary with a synchronous standby, as Patroni records it?"""
        members = (self.nodes[0].asked("cluster") or self.nodes[1].asked("cluster") or {}).get("members", [])
        return self.primary() is not None and any(m.get("role") == "sync_standby" for m in members)

    def switch_over(self):
        primary = self.primary()
        request = urllib.request.Request(
            f"http://127.0.0.1:{primary.rest}/switchover",
            json.dumps({"leader": primary.name}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60):
                return True
        except urllib.error.HTTPError as error:
            print(f"# {error.read().decode()}")
            return False

    def stop(self):
        for node in self.nodes:
            node.stop()
        self.etcd.stop()
