"""The Redis sink while Redis, worker and server are killed and paused; speaks TAP.

The ledger is the trail itself: of every committed change there is a message at least once,
and the first of each come in the order of the trail, approval by approval.
"""

import collections
import json
import os
import random
import signal
import subprocess
import threading
import time

import redis as client
from common import (
    AS_SERVER,
    BIN,
    CHECK,
    SCRATCH,
    expect,
    kill_worker,
    ok,
    pg_ctl,
    poll,
    send_signal,
    setting,
    settings,
    sql,
    state_changes,
    wait,
)
from redis_harness import DELIVERED, REDIS, SERVER, Subscriber, connect, create_extension, expected, issue, main, sign

ROUNDS = int(os.environ.get("REDIS_ROUNDS", "50"))
STREAM = "approvals"
NDJSON = DELIVERED.replace("redis", "ndjson")


def begin():
    SERVER.start()
    create_extension()
    wait(f"select state = 'idle' {REDIS}", "Redis is reached")


def killed_while_idle():
    """Nothing is there to deliver, and that Redis is down shows all the same."""
    changes = state_changes("redis")
    SERVER.kill()
    wait(
        f"select state = 'backing_off' and last_error ~ 'could not connect to Redis at .*: Connection refused' {REDIS}",
        "Redis is killed, nothing is delivered: backing_off",
    )
    SERVER.start()
    wait(f"select state = 'idle' {REDIS}", "the worker reaches a Redis that was started again, without anybody's doing")
    said = state_changes("redis") - changes
    ok(said == 2, "the log has one line for the outage and one for its end", said)


def paused_while_idle():
    SERVER.kill(signal.SIGSTOP)
    wait(
        f"select state = 'backing_off' and last_error ~ 'Redis at .* does not answer' {REDIS}",
        "Redis is paused, nothing is delivered: backing_off",
        25,
    )
    SERVER.kill(signal.SIGCONT)
    wait(f"select state = 'idle' {REDIS}", "an idle worker reaches Redis after a pause")


def restarted_while_idle():
    """Before the sink has noticed: what comes next is delivered all the same."""
    for number in range(3):
        SERVER.restart()
        issue(700 + number)
        wait(DELIVERED, "Redis is restarted behind the sink's back: delivered")


def dropped_connection():
    """By Redis, which is there: looked for again at once."""
    changes = state_changes("redis")
    for number in range(5):
        connect().client_kill_filter(_type="normal", skipme=True)
        issue(710 + number)
        wait(DELIVERED, "a connection is dropped: delivered by the next")
    said = state_changes("redis") - changes
    ok(said % 2 == 0 and said <= 10, "the log has each outage by a dropped connection with its end", said)


def down_and_others():
    """A sink down for good is no matter to writers, and none to the other sink."""
    changes = state_changes("redis")
    SERVER.kill()
    for number in range(50):
        sign(issue(100 + number), 1)
    wait(NDJSON, "files are written while Redis is down")
    wait(f"select state = 'backing_off' and lag_rows >= 150 {REDIS}", "rows that wait for Redis are counted")
    SERVER.start()
    listener = Subscriber()
    wait(DELIVERED, "rows are delivered when Redis is back", 30)
    wanted = list(expected("approval_id between 'APP-000100-k' and 'APP-000149-k'"))
    poll(lambda: not set(wanted) - set(listener.messages), 60)
    ok(
        [message for message in first_of(listener.messages) if message in wanted] == wanted,
        f"a subscriber hears all {len(wanted)} messages of an outage, in order",
    )
    listener.close()
    said = state_changes("redis") - changes
    ok(said == 2, "the log has one line for an outage with writers and one for its end", said)


def paused():
    SERVER.kill(signal.SIGSTOP)
    approval = issue(200)
    wait(
        f"select state = 'backing_off' and last_error ~ 'Redis at .* does not answer' {REDIS}",
        "Redis does not answer: backing_off",
        20,
    )
    setting("linger", "6ms")
    ok(sql(CHECK) != "", "a check is answered while Redis is paused")
    SERVER.kill(signal.SIGCONT)
    wait(DELIVERED, "rows are delivered when a paused Redis answers again", 20)
    ok(
        sql(f"select state from admin.approval where approval_id = '{approval}'") == "pending",
        "an approval that was issued while Redis was paused is pending",
    )


def paused_under_load():
    """Rows that are no matter to subscribers go on and on: nothing is sent, and the sink is never idle."""
    script = SCRATCH / "checks.sql"
    script.write_text(CHECK + ";\n")
    checks = subprocess.Popen(
        ["pgbench", "-n", "-c", "2", "-T", "600", "-R", "200", "-f", str(script)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait(
        f"select last_audit_id > (select max(audit_id) from admin.audit) - 200 and state in ('idle', 'delivering') {REDIS}",
        "the worker skips checks",
    )
    SERVER.kill(signal.SIGSTOP)
    wait(
        f"select state = 'backing_off' and last_error ~ 'Redis at .* does not answer' {REDIS}",
        "Redis is paused, and nothing is for it: backing_off",
        25,
    )
    SERVER.kill(signal.SIGCONT)
    wait(f"select state in ('delivering', 'idle') {REDIS}", "a worker under load reaches Redis after a pause")
    checks.terminate()
    checks.wait()
    wait(DELIVERED, "all is delivered after a pause under load", 20)


def ended_while_paused():
    """Nobody waits for Redis: neither who stops the server nor who drops the extension's database."""
    SERVER.kill(signal.SIGSTOP)
    issue(201)
    wait(f"select state in ('delivering', 'backing_off') {REDIS}", "the worker waits for Redis")
    # Redis stays paused, so a worker that waits for it would keep the server from stopping within pg_ctl's minute.
    pg_ctl("restart", "-m", "fast")
    ok(sql("select 1") == "1", "the server is restarted while Redis is paused")
    SERVER.kill(signal.SIGCONT)
    wait(DELIVERED, "rows are delivered after a restart of the server while Redis was paused", 20)


def loading():
    """Redis is there, and not yet ready."""
    redis = connect()
    redis.mset({f"key {n}": "x" for n in range(400)})
    redis.config_set("appendonly", "no")
    redis.save()
    SERVER.kill()
    SERVER.start(
        "--appendonly",
        "no",
        "--key-load-delay",
        "20000",
        "--loading-process-events-interval-bytes",
        "1024",
        ready=False,
    )
    wait(
        f"select state = 'backing_off' and last_error ~ 'LOADING .*; wait until it has read its data' {REDIS}",
        "Redis reads its data: last_error says so",
        20,
    )
    SERVER.kill()
    SERVER.start()
    wait(f"select state = 'idle' {REDIS}", "the worker reaches Redis when it has read its data", 20)


WRITER = """
\\set n random(1, 9)
\\set v random(1, 1000000)
\\set kind random(1, 5)
begin;
\\if :kind = 1
set local synchronous_commit = off;
\\endif
update admin.approval set resource = (:v)::text where approval_id = 'APP-90000' || :n || '-w';
savepoint s;
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
    values ('APP-' || lpad((:v % 1000000)::text, 6, '0') || '-' || substr(md5(random()::text), 1, 8), 'pay', '{r1}', 1, 'boss', now() + interval '1 hour');
\\if :kind = 2
rollback to s;
\\endif
\\if :kind = 3
rollback;
\\else
commit;
\\endif
"""


def write_until(stop):
    script = SCRATCH / "writer.sql"
    script.write_text(WRITER)
    while not stop.is_set():
        subprocess.run(
            ["pgbench", "-n", "-c", "3", "-T", "3", "-f", str(script)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PGOPTIONS": "-c statement_timeout=10s"},
        )


class Reader:
    """Reads the stream from its beginning, goes on after whatever became of Redis; has every message that was read."""

    def __init__(self):
        self.messages, self.last, self.is_closed = [], "0", False
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        redis = connect(socket_timeout=2)
        while not self.is_closed:
            try:
                for _, entries in redis.xread({STREAM: self.last}, count=1000, block=200) or []:
                    for self.last, entry in entries:
                        self.messages.append(entry[b"message"])
            except client.RedisError:
                poll(lambda: self.is_closed, 0.1)

    def close(self):
        end = connect().xinfo_stream(STREAM)["last-generated-id"]
        expect(lambda: self.last == end, "the reader comes to the end of the stream")
        self.is_closed = True
        self.thread.join()


def first_of(messages):
    """Each of them once, in the order of the first time."""
    return list(dict.fromkeys(messages))


def compare(name, messages):
    wanted = list(expected())
    first = first_of(messages)
    lost, foreign, last, misplaced = len(set(wanted) - set(first)), len(set(first) - set(wanted)), {}, 0
    for event in map(json.loads, first):
        misplaced += last.get(event["approval_id"], 0) >= int(event["audit_id"])
        last[event["approval_id"]] = int(event["audit_id"])
    result = f"lost {lost}, foreign {foreign}, out of order {misplaced}"
    print(f"# {name}: {len(messages)} messages, {len(messages) - len(first)} of them more than once", flush=True)
    ok(
        result == "lost 0, foreign 0, out of order 0",
        f"{name}: {len(wanted)} changes, each at least once, in order per approval",
        result,
    )


def kill_redis():
    SERVER.restart()


def pause_redis():
    SERVER.kill(signal.SIGSTOP)
    time.sleep(random.uniform(0.1, 1))
    SERVER.kill(signal.SIGCONT)


def crash_server():
    subprocess.run(
        [*AS_SERVER, f"{BIN}/pg_ctl", "-D", str(SCRATCH / "data"), "-m", "immediate", "-w", "stop"],
        stdout=subprocess.DEVNULL,
        cwd=SCRATCH,
    )
    pg_ctl("start")


def kill_sink():
    kill_worker("redis")


def end_sink():
    pid = sql(f"select pid {REDIS}", check=False)
    if pid:
        send_signal(pid, signal.SIGTERM)


def disturb(rounds, *ways):
    """While writers go on, each way in turn."""
    stop, before = threading.Event(), int(sql("select count(*) from admin.audit"))
    writer = threading.Thread(target=write_until, args=(stop,))
    writer.start()
    done = collections.Counter()
    for round in range(rounds):
        # Somewhere in the middle of whatever goes on.
        time.sleep(random.uniform(0.05, 0.8))
        ways[round % len(ways)]()
        done[ways[round % len(ways)].__name__] += 1
    stop.set()
    writer.join()
    print(f"# {dict(done)}", flush=True)
    wait(f"select count(*) > {before} + {rounds} from admin.audit", f"rows were written during {rounds} rounds")
    wait(DELIVERED, f"all is delivered after {rounds} rounds", 120)


def begin_ledger(stream, listen):
    """Of nothing but what comes from now on; with a new extension, so a new store.  Returns who listens."""
    settings(databases="", redis_stream=stream, redis_stream_length="100000000", batch_rows="50")
    wait("select count(*) = 0 from pg_stat_activity where backend_type = 'admin_ext worker'", "the workers have left")
    sql(
        "set client_min_messages = error; drop extension admin_ext cascade; create extension admin_ext; select admin.create_audit_partitions()"
    )
    listener = listen()
    setting("databases", "postgres")
    for number in range(900001, 900010):
        issue(number, tag="w")
    return listener


def ledger_of_stream():
    reader = begin_ledger(STREAM, Reader)
    disturb(ROUNDS, kill_redis, kill_sink, crash_server, pause_redis, end_sink)
    reader.close()
    compare("stream", reader.messages)


def ledger_of_channel():
    """Redis stays, or a subscriber would miss what is published while it is away: that is what the stream is for."""
    listener = begin_ledger("", Subscriber)
    disturb(max(ROUNDS // 2, 1), kill_sink, pause_redis, crash_server, end_sink)
    last = list(expected())[-1]
    expect(lambda: last in listener.messages, "the last message is heard")
    listener.close()
    compare("channel", listener.messages)


if __name__ == "__main__":
    main(
        begin,
        killed_while_idle,
        paused_while_idle,
        restarted_while_idle,
        dropped_connection,
        down_and_others,
        paused,
        paused_under_load,
        ended_while_paused,
        loading,
        ledger_of_stream,
        ledger_of_channel,
    )
