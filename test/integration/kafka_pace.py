"""Brokers that are slow, throttle, or close the connection on a record they will never take; speaks TAP."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time

from harness import (
    BOOTSTRAP,
    BROKER,
    CHECK,
    DELIVERED,
    KAFKA,
    TOPIC,
    alter_topic,
    compare_ledger,
    create_extension,
    expect,
    main,
    ok,
    pg_ctl,
    poll,
    setting,
    sql,
    state_changes,
    wait,
)
from kafka_copies import copy_cluster

DEAD = "from admin.dead_letter where sink = 'kafka'"


def begin():
    create_extension()
    sql(CHECK)
    wait(DELIVERED, "delivery has begun", 90)


def insert(rows, kilobytes):
    """Rows that hardly compress; the last audit_id of them."""
    sql(
        f"select count(admin_internal.append_event('bulk', to_json((select string_agg(md5(random()::text || n || i), '') "
        f"from generate_series(1, {kilobytes} * 32) as i)))) from generate_series(1, {rows}) as n"
    )
    return int(sql("select max(audit_id) from admin.audit where event_type = 'bulk'"))


def quota(rate):
    """How many bytes a second the broker takes of us; None: as many as it can."""
    how = ["--add-config", f"producer_byte_rate={rate}"] if rate else ["--delete-config", "producer_byte_rate"]
    subprocess.run(
        [
            "java",
            "-cp",
            os.environ["KAFKA_LIBS"] + "/*",
            "kafka.admin.ConfigCommand",
            "--bootstrap-server",
            BOOTSTRAP,
            "--alter",
            *how,
            "--entity-type",
            "clients",
            "--entity-name",
            "admin_ext",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def throttled():
    """The first batch would take longer than its transaction may."""
    setting("kafka_options", "transaction.timeout.ms=40000")
    quota(100_000)
    insert(8000, 1)
    states, idle = set(), [0.0, None]

    def is_delivered():
        """Keeps the states of a worker with a lag, and for how long it was idle at a time: for a moment a new lag is counted and not looked at yet."""
        state = sql(f"select state || coalesce(': ' || last_error, '') {KAFKA} and lag_rows > 0")
        states.add(state)
        idle[1] = (idle[1] or time.monotonic()) if state == "idle" else None
        idle[0] = max(idle[0], time.monotonic() - idle[1] if idle[1] else 0)
        return sql(DELIVERED) == "t"

    ok(
        poll(is_delivered, 300),
        "8 MB drain through a quota of 100 kB a second",
        sql(f"select state, last_error, lag_rows {KAFKA}"),
    )
    ok(
        [state for state in states if "the brokers are slow, or throttle" in state],
        "last_error says that the brokers are slow, or throttle",
        states,
    )
    ok(idle[0] < 3, "a worker with a lag does not stay idle", idle)
    ok(
        not [state for state in states if "correct admin_ext.kafka_brokers" in state],
        "nobody is told to start the brokers, also while the sink is opened again",
        states,
    )
    quota(None)
    setting("kafka_options", "")
    compare_ledger("a quota")


def hung_up_on():
    """The broker takes requests of up to 2 MB, and closes the connection on others; the topic would take more."""
    with open(BROKER.directory / "server.properties", "a") as properties:
        properties.write("socket.request.max.bytes=2000000\n")
    BROKER.kill()
    BROKER.start()
    alter_topic(TOPIC, max_message_bytes=20_000_000)
    setting("kafka_options", "message.max.bytes=20000000")
    sql(CHECK)
    wait(DELIVERED, "small records are delivered", 90)
    insert(50, 8)
    large = insert(1, 5000)
    insert(50, 8)
    wait(
        f"select count(*) = 1 {DEAD} and audit_id = {large}",
        "a record that the broker hangs up on is a dead letter",
        240,
    )
    ok(
        "socket.request.max.bytes" in sql(f"select error {DEAD}"),
        "the error of a record that the broker hangs up on names socket.request.max.bytes",
        sql(f"select error {DEAD}"),
    )
    wait(DELIVERED, "records besides the dead letter are delivered", 120)
    ok(sql(f"select count(*) {DEAD}") == "1", "no other record is a dead letter", sql(f"select * {DEAD}"))
    compare_ledger("all but the one dead letter")


def restarted():
    """A broker that is restarted while a record is on its way hangs up, too."""
    for _ in range(4):
        insert(1, 1000)
        BROKER.kill()
        BROKER.start()
        wait(DELIVERED, "a record is delivered after a restart", 120)
    ok(
        sql(f"select count(*) {DEAD}") == "1",
        "no record is a dead letter because of a restart",
        sql(f"select * {DEAD}"),
    )
    compare_ledger("restarts")


def receive(connection, count):
    """So many bytes; None: the other side has closed it."""
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            return None
        data += more
    return data


class Proxy:
    """In front of the broker, which tells all clients to come by it.

    It closes the connection on a produce request, is slow to end a transaction, is slow with all that a client of this id asks, or
    is slow with questions for offsets, or passes none of them on.
    """

    PRODUCE, OFFSETS, END, SLOW_CLIENT = 0, 2, 26, b"\0\4slow"

    def __init__(self):
        self.hangs_up, self.end_seconds, self.hang_ups, self.slow_seconds = False, 0, 0, 0
        self.hides_offsets, self.hidden, self.offsets_seconds = False, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.broker = ("127.0.0.1", int(BOOTSTRAP.rpartition(":")[2]))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            with contextlib.suppress(OSError):
                broker = socket.create_connection(self.broker)
                threading.Thread(target=self.requests, args=(client, broker), daemon=True).start()
                threading.Thread(target=self.answers, args=(broker, client), daemon=True).start()
                continue
            client.close()

    def requests(self, client, broker):
        with contextlib.suppress(OSError), client, broker:
            while head := receive(client, 6):
                body = receive(client, int.from_bytes(head[:4], "big") - 2)
                kind = int.from_bytes(head[4:], "big")
                if kind == self.PRODUCE and self.hangs_up:
                    self.hang_ups += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                if kind == self.OFFSETS and self.hides_offsets:
                    self.hidden += 1
                    continue
                if kind == self.OFFSETS:
                    time.sleep(self.offsets_seconds)
                if kind == self.END:
                    time.sleep(self.end_seconds)
                # Behind the version and the number of the request.
                if body and body[6:].startswith(self.SLOW_CLIENT):
                    time.sleep(self.slow_seconds)
                broker.sendall(head + (body or b""))

    @staticmethod
    def answers(broker, client):
        with contextlib.suppress(OSError):
            while data := broker.recv(65536):
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def advertise(port):
    """Clients are told to come by this port."""
    properties = BROKER.directory / "server.properties"
    properties.write_text(
        re.sub(
            r"^(advertised.listeners=PLAINTEXT://127.0.0.1:)\d+", rf"\g<1>{port}", properties.read_text(), flags=re.M
        )
    )
    BROKER.kill()
    BROKER.start()


def delivering_proxy(name):
    """A proxy that the worker delivers by; the name is the test's."""
    proxy = Proxy()
    advertise(proxy.port)
    sql(CHECK)
    wait(DELIVERED, name, 120)
    return proxy


def small_record():
    """Something closes the connection on a record of a few bytes.  That is an outage, however often; and batches of one record do not stay so."""
    proxy = delivering_proxy("a row is delivered by way of a proxy")
    proxy.hangs_up = True
    for _ in range(40):
        sql(CHECK)
    expect(lambda: proxy.hang_ups >= 12, "the connection is closed again and again", 180)
    wait(f"select state = 'backing_off' {KAFKA}", "the worker backs off when the connection is closed on small records")
    ok(sql(f"select count(*) {DEAD}") == "1", "a small record is no dead letter", sql(f"select * {DEAD}"))
    proxy.hangs_up, proxy.end_seconds = False, 3.5
    wait(DELIVERED, "batches of one record become larger though each takes more than three seconds", 100)
    proxy.end_seconds = 0
    compare_ledger("a proxy")
    advertise(proxy.broker[1])


def slow_peek():
    """An older copy that has slow brokers looks before it fences, however long that takes."""
    proxy = Proxy()
    advertise(proxy.port)
    pg_ctl("stop", "-m", "fast")
    old = copy_cluster("old")
    with open(old / "postgresql.auto.conf", "a") as conf:
        conf.write(f"admin_ext.kafka_options = 'client.id=slow'\nadmin_ext.kafka_brokers = '127.0.0.1:{proxy.port}'\n")
    pg_ctl("start")
    for _ in range(5):
        sql(CHECK)
    wait(DELIVERED, "rows are delivered after a copy of the cluster was made", 90)
    proxy.slow_seconds = 1000
    pg_ctl("start", data=old)
    wait(f"select state = 'backing_off' {KAFKA}", "an older copy that gets no answer backs off", 90, host=old)
    proxy.slow_seconds = 0.7
    wait(
        f"select state = 'stopped' and last_error ~ 'has lost' {KAFKA}",
        "an older copy whose brokers are slow stops: the topic holds what it has lost",
        120,
        host=old,
    )
    changes = state_changes()
    sql(CHECK)
    wait(DELIVERED, "the newer copy delivers on")
    ok(
        state_changes() == changes and sql(f"select state <> 'fenced' {KAFKA}") == "t",
        "a look by slow brokers does not fence the newer copy",
        sql(f"select state, last_error {KAFKA}"),
    )
    pg_ctl("stop", "-m", "fast", data=old)
    shutil.rmtree(old)
    compare_ledger("slow brokers")
    advertise(proxy.broker[1])


def stalled_offsets():
    """A question for offsets that gets no answer keeps the worker from nothing; one that gets it late is asked with more patience."""
    proxy = delivering_proxy("a row is delivered by way of a proxy that can hide offsets")
    proxy.hides_offsets = True
    sql(f"select pg_terminate_backend(pid) {KAFKA}")
    expect(lambda: proxy.hidden > 0, "a new worker asks for offsets")
    started = time.monotonic()
    pg_ctl("stop", "-m", "fast")
    seconds = time.monotonic() - started
    ok(seconds < 10, "a server whose worker waits for offsets stops within seconds", seconds)
    pg_ctl("start")
    sql(CHECK)
    wait(
        f"select state = 'backing_off' and last_error ~ 'could not ask for the offsets' {KAFKA}",
        "a worker that gets no offsets says so",
        40,
    )
    proxy.hides_offsets, proxy.offsets_seconds = False, 1.2
    wait(DELIVERED, "a row is delivered where each question for offsets takes more than a second", 120)
    proxy.offsets_seconds = 0
    compare_ledger("offsets that come late")
    advertise(proxy.broker[1])


if __name__ == "__main__":
    main(begin, throttled, hung_up_on, restarted, small_record, slow_peek, stalled_offsets)
