"""The Redis sink while Redis fails over: it publishes to a primary only; speaks TAP.

Two Redis servers, and a TCP proxy that sends new connections to the one that is the primary.  Connections that
exist stay where they are, as with a virtual address.  A subscriber at the replica hears what the primary
publishes, by replication: what it never hears was lost by the failover.
"""
import json
import signal
import socket
import subprocess
import tempfile
import threading

import redis as client
import session

from common import SCRATCH, expect, ok, poll, setting, sql, wait
from redis_delivery import by_hand
from redis_faults import first_of
from redis_harness import DELIVERED, REDIS, Subscriber, create_extension, expected, issue, main, sign

REPLICA = "Redis at .* is a replica; name the primary in admin_ext.redis_url, by a name that follows a failover"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Node:
    """A Redis server without a configuration file."""

    def __init__(self, *options):
        self.port, self.directory, self.options = free_port(), tempfile.mkdtemp(dir=SCRATCH), options
        self.start()

    def start(self, *more):
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory, "--save", "", "--repl-diskless-sync-delay", "0",
                                         *self.options, *more], stdout=subprocess.DEVNULL)
        expect(lambda: self.role() is not None, "a Redis server answers")

    def connect(self):
        return client.Redis(port=self.port, socket_timeout=1)

    def role(self):
        try:
            return self.connect().role()[0].decode()
        except (client.RedisError, OSError):
            return None

    def offset(self):
        """How far its replication stream is."""
        return self.connect().info("replication")["master_repl_offset"]

    def follow(self, primary):
        """Becomes its replica; returns when it has caught up."""
        self.connect().replicaof("127.0.0.1", primary.port)
        expect(lambda: self.connect().info("replication").get("master_link_status") == "up", "the replica follows")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Proxy:
    """Sends each new connection to the first server that is a primary."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.prefers = None
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection = self.listener.accept()[0]
            threading.Thread(target=self.forward, args=(connection,), daemon=True).start()

    def forward(self, connection):
        nodes = [self.prefers] if self.prefers else NODES
        primary = next((node for node in nodes if node.role() == "master"), None)
        try:
            server = socket.create_connection(("127.0.0.1", primary.port)) if primary else None
        except OSError:
            server = None
        if server is None:
            connection.close()
            return
        for source, target in ((connection, server), (server, connection)):
            threading.Thread(target=self.copy, args=(source, target), daemon=True).start()

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


NODES, PROXY = [], None
numbers = iter(range(1, 99999))


def listen_at(node):
    return Subscriber(connection=client.Redis(port=node.port, socket_timeout=None))


def connections_of_ours(node):
    return sum(each["name"] == "admin_ext" for each in node.connect().client_list())


def withdraw(approval):
    sql(f"update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'boss', close_reason = 'no more' where approval_id = '{approval}'")


def events(listener):
    return [json.loads(message) for message in listener.messages]


def hears(listener, approval, event_type, name, seconds=30):
    return ok(poll(lambda: any((event["approval_id"], event["event_type"]) == (approval, event_type) for event in events(listener)), seconds), name, events(listener)[-3:])


def first_audit_id():
    return int(sql("select coalesce(max(audit_id), 0) + 1 from admin.audit"))


def compare(name, listener, first):
    """All changes from this number on were heard, in order per approval."""
    wait(DELIVERED, f"{name}: delivered", 60)
    wanted = list(expected(f"audit_id >= {first}"))
    poll(lambda: not set(wanted) - set(listener.messages), 20)
    heard = [message for message in first_of(listener.messages) if message in set(wanted)]
    newest, misplaced = {}, 0
    for event in map(json.loads, heard):
        misplaced += newest.get(event["approval_id"], 0) > int(event["audit_id"])
        newest[event["approval_id"]] = int(event["audit_id"])
    result = f"lost {len(wanted) - len(heard)}, out of order {misplaced}"
    ok(len(wanted) > 0 and result == "lost 0, out of order 0", f"{name}: the subscriber of the new primary hears all {len(wanted)} changes, in order", result)


def reset(*options):
    """A primary and its replica, and the worker at the primary."""
    global PROXY
    for node in NODES:
        node.kill()
    NODES[:] = [Node(*options), Node(*options)]
    NODES[1].follow(NODES[0])
    PROXY = PROXY or Proxy()
    PROXY.prefers = None
    setting("redis_url", f"redis://127.0.0.1:{PROXY.port}")
    wait(f"select state = 'idle' {REDIS}", "the worker is connected", 30)
    expect(lambda: connections_of_ours(NODES[0]) == 1, "the worker is at the primary")
    wait(DELIVERED, "and what was there before is delivered")
    return NODES


def change():
    number = next(numbers)
    sign(issue(number, tag="f"), 1)


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


def begin():
    create_extension()


def idle_failover():
    """FAILOVER closes no connection, and a replica takes PUBLISH without a word."""
    old, new = reset()
    approval = issue(next(numbers), tag="f")
    wait(DELIVERED, "issued, delivered")
    old.connect().execute_command("FAILOVER")
    expect(lambda: new.role() == "master" and old.role() == "slave", "roles are swapped")
    listener = listen_at(new)
    withdraw(approval)
    hears(listener, approval, "approval.withdrawn", "FAILOVER: a withdrawal after it is heard at the new primary")
    ok(poll(lambda: connections_of_ours(new) == 1 and connections_of_ours(old) == 0, 15), "the worker has left the demoted node")
    hears(listener, approval, "approval.issued", "what was published shortly before is published again")
    wait(DELIVERED, "all is delivered")
    listener.close()


def locked_position():
    """Somebody's lock keeps the worker from recording what it is to publish again."""
    old, new = reset()
    approval = issue(next(numbers), tag="f")
    wait(DELIVERED, "issued, delivered")
    locker = session.connect()
    locker.autocommit = False
    with locker.cursor() as cursor:
        cursor.execute("lock table admin.sink_position in share mode")
        old.connect().execute_command("FAILOVER")
        expect(lambda: new.role() == "master" and old.role() == "slave", "roles are swapped")
        listener = listen_at(new)
        wait(f"select last_error ~ 'waits for a lock on admin.sink_position' {REDIS}", "the worker waits for a lock")
    locker.rollback()
    hears(listener, approval, "approval.issued", "it is published again when the lock is gone")
    wait(DELIVERED, "all is delivered")
    listener.close()
    locker.close()


def demoted_while_idle():
    """Nothing is to be sent: the node is left all the same."""
    old, new = reset()
    old.connect().execute_command("FAILOVER")
    ok(poll(lambda: connections_of_ours(new) == 1 and connections_of_ours(old) == 0, 15), "idle: the demoted node is left")
    wait(f"select state = 'idle' {REDIS}", "and the new primary is reached")


def no_primary():
    old, new = reset()
    PROXY.prefers = old
    setting("redis_url", f"redis://127.0.0.1:{new.port}")
    approval = issue(next(numbers), tag="f")
    wait(f"select state = 'backing_off' and last_error ~ '{REPLICA}' and lag_rows > 0 {REDIS}", "the address leads to a replica: backing_off, and it says so")
    listener = listen_at(new)
    new.connect().replicaof("NO", "ONE")
    wait(DELIVERED, "the replica is promoted: delivered")
    hears(listener, approval, "approval.issued", "what waited is heard")
    listener.close()


def failover_under_load():
    old, new = reset()
    listener = listen_at(new)
    with Load() as load:
        for _ in range(3):
            load.wait_for(40)
            old.connect().execute_command("FAILOVER")
            expect(lambda: new.role() == "master" and old.role() == "slave", "roles are swapped")
            load.wait_for(40)
            new.connect().execute_command("FAILOVER")
            expect(lambda: old.role() == "master" and new.role() == "slave", "roles are swapped back")
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


def age(seconds):
    """What was published seems to have been so long ago; the next worker reads it."""
    pid = sql(f"select pid {REDIS}")
    sql(f"""begin; lock table admin.sink_position;
            select pg_terminate_backend({pid});
            update admin.sink_position as p set sink_detail = concat_ws('/', split_part(split_part(sink_detail, ' ', 1), '/', 1), split_part(split_part(sink_detail, ' ', 1), '/', 2),
                greatest(split_part(split_part(sink_detail, ' ', 1), '/', 3)::bigint - {seconds}, 0), greatest(split_part(split_part(sink_detail, ' ', 1), '/', 4)::bigint - {seconds}, 0),
                split_part(split_part(sink_detail, ' ', 1), '/', 5)) || (
                select coalesce(string_agg(' ' || split_part(s, ':', 1)::bigint - {seconds} || ':' || split_part(s, ':', 2) || ':' || split_part(s, ':', 3), '' order by n), '')
                from regexp_split_to_table(sink_detail, ' ') with ordinality as t(s, n) where n > 1)
            where sink = 'redis' and position_id = (select max(position_id) from admin.sink_position where sink = 'redis');
            commit""")
    wait(f"select state = 'idle' and pid <> {pid} {REDIS}", "another worker is connected", 30)


def long_ago():
    """Two primaries for more than a minute: what the new one has is told from what it has not."""
    old, new = reset()
    before = issue(next(numbers), tag="f")
    wait(DELIVERED, "delivered")
    published = old.offset()
    expect(lambda: new.offset() >= published, "the replica has it, too")
    age(130)
    listener = listen_at(new)
    PROXY.prefers = old
    new.connect().replicaof("NO", "ONE")
    lost = issue(next(numbers), tag="f")
    wait(DELIVERED, "delivered to the old primary alone")
    age(130)
    ok(not listener.messages, "the new primary has heard nothing", listener.messages)
    PROXY.prefers = None
    old.connect().replicaof("127.0.0.1", new.port)
    hears(listener, lost, "approval.issued", "a primary that was cut off for long: what the new one lacks is published again")
    wait(DELIVERED, "all is delivered")
    ok(not any(event["approval_id"] == before for event in events(listener)), "and what it has is not", events(listener)[:3])
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
        file.write(f"port {port}\nbind 127.0.0.1\ndir {directory}\nsentinel monitor m 127.0.0.1 {old.port} 1\n"
                   "sentinel down-after-milliseconds m 1000\nsentinel failover-timeout m 5000\n")
    watcher = subprocess.Popen(["redis-server", f"{directory}/sentinel.conf", "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        expect(lambda: client.Redis(port=port).execute_command("SENTINEL", "REPLICAS", "m"), "Sentinel knows the replica")
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


def let_in(user, *nodes):
    """The worker connects as a user without +info."""
    for node in nodes:
        node.connect().execute_command("ACL", "SETUSER", user, "on", f">{user}", "+auth", "+ping", "+publish", "+role", "&approval_ttl_refresh")
    setting("redis_url", f"redis://{user}:{user}@127.0.0.1:{PROXY.port}")
    expect(lambda: any(each["user"] == user for each in nodes[0].connect().client_list()), "the user is let in")


def heard_again(listener, approval):
    return sum(event["approval_id"] == approval for event in events(listener))


def asked_for_role(node):
    """How often, by now; the worker asks once a second."""
    return node.connect().info("commandstats").get("cmdstat_role", {}).get("calls", 0)


def role_alone():
    """A user without +info: each connection may be to another history."""
    old, new = reset()
    let_in("app", old, new)
    approval = issue(next(numbers), tag="f")
    wait(DELIVERED, "delivered by a user with +role and without +info")
    old.connect().execute_command("FAILOVER")
    expect(lambda: new.role() == "master" and old.role() == "slave", "roles are swapped")
    listener = listen_at(new)
    hears(listener, approval, "approval.issued", "and published again after a failover")
    wait(DELIVERED, "all is delivered")
    listener.close()


def role_alone_and_replicas():
    """What all replicas have is not published again with each connection."""
    old, new = reset()
    let_in("app", old, new)
    held = issue(next(numbers), tag="f")
    wait(DELIVERED, "delivered by a user without +info")
    published = old.offset()
    expect(lambda: old.connect().info("replication")["slave0"]["offset"] >= published, "the replica has it")
    asked = asked_for_role(old)
    expect(lambda: asked_for_role(old) >= asked + 3, "and the worker has heard so")
    change()
    wait(DELIVERED, "the next position is recorded")
    listener = listen_at(old)
    age(130)
    last = issue(next(numbers), tag="f")
    hears(listener, last, "approval.issued", "on a new connection delivery goes on")
    wait(DELIVERED, "all is delivered")
    ok(not heard_again(listener, held), "what all replicas have is not published again", events(listener)[:2])
    listener.close()


def role_alone_without_replicas():
    """Nobody says what a failover would lose: ten minutes after the first publication it ends all the same."""
    old, new = reset()
    let_in("app", old, new)
    new.kill()
    expect(lambda: not old.connect().info("replication")["connected_slaves"], "the replica is gone")
    approval = issue(next(numbers), tag="f")
    wait(DELIVERED, "delivered by a user without +info")
    listener = listen_at(old)
    age(400)
    hears(listener, approval, "approval.issued", "a new connection publishes it again")
    wait(DELIVERED, "all is delivered")
    heard = heard_again(listener, approval)
    age(400)
    last = issue(next(numbers), tag="f")
    hears(listener, last, "approval.issued", "so does the next, with what came meanwhile")
    wait(DELIVERED, "all is delivered")
    ok(heard_again(listener, approval) == heard, "but not what was published first more than ten minutes ago", heard_again(listener, approval))
    listener.close()


def issue_late():
    """An approval in a transaction that is open still, and that transaction."""
    late = session.connect()
    late.autocommit = False
    name = f"APP-{next(numbers):06}-f"
    with late.cursor() as cursor:
        cursor.execute("insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) "
                       f"values ('{name}', 'pay', '{{r1}}', 1, 'boss', now() + interval '1 day')")
    return late, name


def commit_late():
    """Both servers, an approval that was committed late, and those published long before, with higher numbers."""
    old, new = reset()
    late, name = issue_late()
    held = [issue(next(numbers), tag="f") for _ in range(5)]
    wait(DELIVERED, "delivered")
    published = old.offset()
    expect(lambda: new.offset() >= published, "the replica has it, too")
    age(130)
    late.commit()
    late.close()
    return old, new, name, held


def fail_over(old, new):
    old.connect().execute_command("FAILOVER")
    expect(lambda: new.role() == "master" and old.role() == "slave", "roles are swapped")


def late_row():
    """It has a low number, and was published in the last minute; what lies between was not."""
    old, new, name, held = commit_late()
    last = issue(next(numbers), tag="f")
    wait(DELIVERED, "a row that was committed late is delivered")
    fail_over(old, new)
    listener = listen_at(new)
    for approval in (name, last):
        hears(listener, approval, "approval.issued", "after a failover what was published in the last minute is published again, late or not")
    wait(DELIVERED, "all is delivered")
    ok(not any(heard_again(listener, approval) for approval in held), "what was published long before a late row is not published again", events(listener))
    after = issue(next(numbers), tag="f")
    hears(listener, after, "approval.issued", "delivery goes on")
    listener.close()


def repeated_after_crash():
    """A worker that is ended while it repeats goes on with what is left of that, and with nothing else."""
    old, new, name, held = commit_late()
    setting("batch_rows", 1)
    several = [issue(next(numbers), tag="f") for _ in range(40)]
    wait(DELIVERED, "delivered in batches of one row")
    listener = listen_at(new)
    fail_over(old, new)
    hears(listener, name, "approval.issued", "the late row is published again")
    sql(f"select pg_terminate_backend(pid) {REDIS}")
    wait(DELIVERED, "all is delivered by another worker")
    setting("batch_rows", 10000)
    hears(listener, several[-1], "approval.issued", "another worker publishes what was left of a repetition")
    ok(not any(heard_again(listener, approval) for approval in held), "another worker repeats nothing else", events(listener))
    listener.close()


def skipped_rows():
    """Rows between a late one and the others were skipped."""
    old, new = reset()
    late, name = issue_late()
    setting("redis_url", f"redis://127.0.0.1:{free_port()}")
    wait(f"select state = 'backing_off' {REDIS}", "Redis is away")
    skipped = issue(next(numbers), tag="f")
    sql("select admin.resync_sink('redis', (select max(audit_id) + 1 from admin.audit))")
    setting("redis_url", f"redis://127.0.0.1:{PROXY.port}")
    listener = listen_at(new)
    late.commit()
    late.close()
    hears(listener, name, "approval.issued", "a row that was committed after the resync is published")
    wait(DELIVERED, "all is delivered")
    before = heard_again(listener, name)
    listener.close()
    fail_over(old, new)
    listener = listen_at(new)
    hears(listener, name, "approval.issued", "and once more after a failover")
    wait(DELIVERED, "all is delivered")
    ok(before == 1 and not heard_again(listener, skipped), "a row that was skipped is not published by that", events(listener))
    listener.close()


def dead_letter(approval):
    """An event that no message can be made of, written by hand; its number."""
    by_hand(f"insert into admin.audit (event_type, approval_id, payload) values ('approval.issued', '{approval}', '{{\"row\": null}}')")
    wait("select count(*) = 1 from admin.dead_letter where sink = 'redis'", "an event that no message can be made of is a dead letter")
    return int(sql("select audit_id from admin.dead_letter where sink = 'redis'"))


def mend(letter):
    """A superuser gives the event what a message is made of."""
    by_hand("alter table admin.audit disable trigger audit_append_only_statement; "
            "update admin.audit set payload = '{\"row\": {\"state\": \"pending\", \"closed_at\": null, \"sla_deadline\": \"2040-01-01T00:00:00.000000Z\"}}' "
            f"where audit_id = {letter}; alter table admin.audit enable always trigger audit_append_only_statement")


def retried_dead_letter():
    """It is late: its number is below those of changes that were published long before."""
    old, new = reset()
    name = f"APP-{next(numbers):06}-f"
    letter = dead_letter(name)
    held = [issue(next(numbers), tag="f") for _ in range(5)]
    wait(DELIVERED, "delivered")
    published = old.offset()
    expect(lambda: new.offset() >= published, "the replica has it, too")
    age(130)
    mend(letter)
    listener = listen_at(new)
    sql(f"select admin.retry_dead_letter('redis', {letter})")
    hears(listener, name, "approval.issued", "a dead letter that is retried is published to the primary")
    wait("select count(*) = 0 from admin.dead_letter where sink = 'redis'", "a dead letter that is published is removed")
    last = issue(next(numbers), tag="f")
    hears(listener, last, "approval.issued", "delivery goes on after a retried dead letter")
    ok(heard_again(listener, name) == 1, "a retried dead letter is published once", events(listener))
    fail_over(old, new)
    for approval in (name, last):
        ok(poll(lambda: heard_again(listener, approval) == 2, 30), "a failover publishes again what was published in the last minute, a retried dead letter too", events(listener))
    wait(DELIVERED, "all is delivered")
    after = issue(next(numbers), tag="f")
    hears(listener, after, "approval.issued", "delivery goes on after the failover")
    ok([heard_again(listener, approval) for approval in (name, last, after)] == [2, 2, 1], "a failover repeats a retried dead letter once", events(listener))
    ok(not any(heard_again(listener, approval) for approval in held), "a failover does not publish what lies between a retried dead letter and the last minute", events(listener))
    listener.close()


def end():
    for node in NODES:
        node.kill()


if __name__ == "__main__":
    main(begin, idle_failover, locked_position, demoted_while_idle, no_primary, failover_under_load, replicaof_by_hand, long_ago, killed, sentinel,
         role_alone, role_alone_and_replicas, role_alone_without_replicas, late_row, repeated_after_crash, skipped_rows, retried_dead_letter, end)
