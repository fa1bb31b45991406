"""The Redis sink while Redis fails over: it publishes to a primary only; speaks TAP.

What is published again afterwards, and what is not, is in redis_repetition.py.
"""

import json
import signal
import subprocess
import tempfile
import threading

import redis as client
import session
from common import SCRATCH, expect, ok, poll, setting, sql, wait
from redis_faults import first_of
from redis_harness import DELIVERED, REDIS, expected, issue
from redis_nodes import PROXY, change, connections_of_ours, fail_over, free_port, hears, listen_at, main, numbers, reset

REPLICA = "Redis at .* is a replica; name the primary in admin_ext.redis_url, by a name that follows a failover"


def withdraw(approval):
    sql(
        f"update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'boss', close_reason = 'no more' where approval_id = '{approval}'"
    )


def first_audit_id():
    return int(sql("select coalesce(max(audit_id), 0) + 1 from admin.audit"))


def compare(name, listener, first):
    """All changes from this number on were heard, in order per approval."""
    wait(DELIVERED, f"{name}: all is delivered", 60)
    wanted = list(expected(f"audit_id >= {first}"))
    poll(lambda: not set(wanted) - set(listener.messages), 60)
    heard = [message for message in first_of(listener.messages) if message in set(wanted)]
    newest, misplaced = {}, 0
    for event in map(json.loads, heard):
        misplaced += newest.get(event["approval_id"], 0) > int(event["audit_id"])
        newest[event["approval_id"]] = int(event["audit_id"])
    result = f"lost {len(wanted) - len(heard)}, out of order {misplaced}"
    ok(
        len(wanted) > 0 and result == "lost 0, out of order 0",
        f"{name}: the subscriber of the new primary hears all {len(wanted)} changes, in order",
        result,
    )


class Load:
    """Changes, one transaction after the other, until it is ended."""

    def __enter__(self):
        self.first, self.is_over = first_audit_id(), threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        while not self.is_over.is_set():
            change()

    def wait_for(self, count):
        before = first_audit_id()
        expect(lambda: first_audit_id() >= before + count, "changes go on")

    def __exit__(self, *error):
        self.is_over.set()
        self.thread.join()


def idle_failover():
    """FAILOVER closes no connection, and a replica takes PUBLISH without a word."""
    old, new = reset()
    approval = issue(next(numbers), tag="f")
    wait(DELIVERED, "an approval is delivered before FAILOVER")
    fail_over(old, new)
    listener = listen_at(new)
    withdraw(approval)
    hears(listener, approval, "approval.withdrawn", "a withdrawal after FAILOVER is heard at the new primary")
    ok(
        poll(lambda: connections_of_ours(new) == 1 and connections_of_ours(old) == 0, 60),
        "the worker has left the demoted node",
    )
    hears(listener, approval, "approval.issued", "what was published shortly before a failover is published again")
    wait(DELIVERED, "all is delivered after a failover of an idle sink")
    listener.close()


def locked_position():
    """Somebody's lock keeps the worker from recording what it is to publish again."""
    old, new = reset()
    approval = issue(next(numbers), tag="f")
    wait(DELIVERED, "an approval is delivered before a failover under a lock")
    locker = session.connect()
    locker.autocommit = False
    with locker.cursor() as cursor:
        cursor.execute("lock table admin.sink_position in share mode")
        fail_over(old, new)
        listener = listen_at(new)
        wait(f"select last_error ~ 'waits for a lock on admin.sink_position' {REDIS}", "the worker waits for a lock")
    locker.rollback()
    hears(listener, approval, "approval.issued", "an approval is published again when the lock is gone")
    wait(DELIVERED, "all is delivered when the lock is gone")
    listener.close()
    locker.close()


def demoted_while_idle():
    """Nothing is to be sent: the node is left all the same."""
    old, new = reset()
    old.connect().execute_command("FAILOVER")
    ok(
        poll(lambda: connections_of_ours(new) == 1 and connections_of_ours(old) == 0, 60),
        "idle: the demoted node is left",
    )
    wait(f"select state = 'idle' {REDIS}", "an idle worker reaches the new primary")


def no_primary():
    old, new = reset()
    PROXY.prefers = old
    setting("redis_url", f"redis://127.0.0.1:{new.port}")
    approval = issue(next(numbers), tag="f")
    wait(
        f"select state = 'backing_off' and last_error ~ '{REPLICA}' and lag_rows > 0 {REDIS}",
        "the address leads to a replica: backing_off, and last_error says so",
    )
    listener = listen_at(new)
    new.connect().replicaof("NO", "ONE")
    wait(DELIVERED, "the replica is promoted: delivered")
    hears(listener, approval, "approval.issued", "what waited for a primary is heard")
    listener.close()


def failover_under_load():
    old, new = reset()
    listener = listen_at(new)
    with Load() as load:
        for _ in range(3):
            load.wait_for(40)
            fail_over(old, new)
            load.wait_for(40)
            fail_over(new, old)
    compare("FAILOVER to and fro", listener, load.first)
    listener.close()


def replicaof_by_hand():
    """The replica is promoted first, so that there are two primaries for a while; what goes to the old one is lost."""
    old, new = reset()
    listener = listen_at(new)
    with Load() as load:
        load.wait_for(20)
        PROXY.prefers = old
        new.connect().replicaof("NO", "ONE")
        load.wait_for(40)
        PROXY.prefers = None
        old.connect().replicaof("127.0.0.1", new.port)
        load.wait_for(40)
    compare("REPLICAOF by hand", listener, load.first)
    listener.close()


def killed():
    old, new = reset()
    listener = listen_at(new)
    with Load() as load:
        load.wait_for(40)
        old.kill()
        load.wait_for(10)
        new.connect().replicaof("NO", "ONE")
        load.wait_for(40)
    compare("the primary is killed, its replica promoted", listener, load.first)
    listener.close()


def sentinel():
    """Sentinel finds out by itself; the old primary comes back, and calls itself one until Sentinel demotes it."""
    old, new = reset()
    directory, port = tempfile.mkdtemp(dir=SCRATCH), free_port()
    with open(f"{directory}/sentinel.conf", "w") as file:
        file.write(
            f"port {port}\nbind 127.0.0.1\ndir {directory}\nsentinel monitor m 127.0.0.1 {old.port} 1\n"
            "sentinel down-after-milliseconds m 1000\nsentinel failover-timeout m 5000\n"
        )
    watcher = subprocess.Popen(["redis-server", f"{directory}/sentinel.conf", "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        expect(
            lambda: client.Redis(port=port).execute_command("SENTINEL", "REPLICAS", "m"), "Sentinel knows the replica"
        )
        listener = listen_at(new)
        with Load() as load:
            load.wait_for(40)
            old.process.send_signal(signal.SIGSTOP)
            expect(lambda: new.role() == "master", "Sentinel has promoted the replica")
            load.wait_for(40)
            old.process.send_signal(signal.SIGCONT)
            expect(lambda: old.role() == "slave", "Sentinel has demoted the old primary", 120)
            load.wait_for(40)
        compare("Sentinel, the primary paused", listener, load.first)
        listener.close()
        listener = listen_at(old)
        with Load() as load:
            load.wait_for(40)
            new.kill()
            expect(lambda: old.role() == "master", "Sentinel has promoted the other one", 120)
            load.wait_for(40)
        compare("Sentinel, the primary killed", listener, load.first)
        listener.close()
    finally:
        watcher.kill()
        watcher.wait()


if __name__ == "__main__":
    main(
        idle_failover,
        locked_position,
        demoted_while_idle,
        no_primary,
        failover_under_load,
        replicaof_by_hand,
        killed,
        sentinel,
    )
