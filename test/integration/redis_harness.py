"""What the tests of the Redis sink share besides: Redis itself, a subscriber, and what it has to be told.

The server was started by test/integration/run_redis; Redis is started, killed and started
again from here.  What is expected of a message is worked out here from the trail's rows,
with nothing of the sink's.
"""

import datetime
import json
import os
import pathlib
import signal
import subprocess
import threading

import common
import redis as client
from common import expect, settings, sql

DIRECTORY = pathlib.Path(os.environ["REDIS_DIR"])
PORT, TLS_PORT, SOCKET = int(os.environ["REDIS_PORT"]), int(os.environ["REDIS_TLS_PORT"]), os.environ["REDIS_SOCKET"]
CERTIFICATES = DIRECTORY / "certificates"
CHANNEL = "approval_ttl_refresh"
URL = f"redis://127.0.0.1:{PORT}"
REDIS = "from admin.worker_status where sink = 'redis' and database = current_database()"
DELIVERED = "select not exists (select from admin.audit_delivery where sink = 'redis' and sink_status = 'pending')"


def connect(**options):
    return client.Redis(**{"host": "127.0.0.1", "port": PORT, "socket_timeout": 10, **options})


class Server:
    """Redis, as often as it is started."""

    process = None

    def start(self, *options, ready=True):
        self.process = subprocess.Popen([str(DIRECTORY / "start"), *options])
        if ready:
            expect(self.answers, "Redis answers")

    def answers(self):
        try:
            return connect(socket_timeout=1).ping()
        except client.RedisError:
            return False

    def kill(self, how=signal.SIGKILL):
        os.kill(self.process.pid, how)
        if how == signal.SIGKILL:
            self.process.wait()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def restart(self):
        self.kill()
        self.start()


SERVER = Server()


class Subscriber:
    """Hears a channel in a thread of its own until it is closed; has the messages as bytes, in order."""

    def __init__(self, channel=CHANNEL, connection=None):
        self.messages, self.is_closed = [], False
        # A client that is let go of closes its connections.
        self.connection = connection or connect(socket_timeout=None)
        self.pubsub = self.connection.pubsub()
        self.pubsub.subscribe(channel)
        expect(lambda: (self.pubsub.get_message(timeout=1) or {}).get("type") == "subscribe", "a subscriber is let in")
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while not self.is_closed:
            try:
                message = self.pubsub.get_message(timeout=0.2)
            except (client.RedisError, OSError, ValueError):
                return
            if message and message["type"] == "message":
                self.messages.append(message["data"])

    def hears(self, count, seconds=30):
        common.poll(lambda: len(self.messages) >= count, seconds)
        return self.messages

    def close(self):
        self.is_closed = True
        self.thread.join()
        self.pubsub.close()


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def ttl_of(row, at):
    """The 24-hour rule, once more."""
    deadline = instant(row["sla_deadline"])
    if row["state"] == "withdrawn" or row["closed_at"] is not None:
        return "not-applicable"
    if at - deadline > datetime.timedelta(hours=24):
        return "stale"
    if at >= deadline:
        return "expired"
    return "valid" if row["state"] == "signed_full" else "not-applicable"


def expected(where="true"):
    """The messages of the trail's approval events, in order of audit_id, as bytes."""
    store, database = sql("select store_id, current_database() from admin.store").split("|")
    rows = sql(
        """select json_build_object('id', audit_id::text, 'approval', approval_id, 'type', event_type, 'row', payload -> 'row',
                         'at', to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text
                  from admin.audit where event_type like 'approval.%' and source_event_id is null and """
        + where
        + " order by audit_id"
    )
    for event in map(json.loads, rows.splitlines()):
        row = event["row"]
        ttl = ttl_of(row, instant(event["at"]))
        message = {
            "store": store,
            "database": database,
            "approval_id": event["approval"],
            "state": row["state"],
            "ttl_state": ttl,
            "valid_until": row["sla_deadline"] if ttl == "valid" else None,
            "event_type": event["type"],
            "audit_id": event["id"],
            "occurred_at": event["at"],
        }
        yield json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def create_extension(**more):
    sql("set client_min_messages = error; create extension admin_ext; select admin.create_audit_partitions()")
    settings(redis_url=URL, **more)


def issue(number, signers=2, deadline="now() + interval '1 day'", tag="k"):
    roles = ",".join(f"r{n}" for n in range(1, signers + 1))
    approval = f"APP-{number:06}-{tag}"
    sql(
        "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) "
        f"values ('{approval}', 'pay', '{{{roles}}}', {signers}, 'boss', {deadline})"
    )
    return approval


def sign(approval, *numbers):
    for n in numbers:
        sql(f"insert into admin.signature (approval_id, signer_role, signer) values ('{approval}', 'r{n}', 's{n}')")


def main(*tests):
    common.main(*tests, at_end=SERVER.stop)
