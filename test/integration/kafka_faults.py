"""The Kafka sink under faults; speaks TAP.

The ledger is the table itself: what a read_committed consumer sees has to be every
committed row once, unchanged, in order of commit per approval, whatever was killed.
"""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from harness import (
    ADMIN,
    AS_SERVER,
    BIN,
    BOOTSTRAP,
    BROKER,
    CHECK,
    DELIVERED,
    KAFKA,
    SCRATCH,
    TOPIC,
    compare_chain,
    compare_ledger,
    create_extension,
    expect,
    main,
    make_topic,
    ok,
    pg_ctl,
    poll,
    read_topic,
    send_signal,
    setting,
    sql,
    state_changes,
    wait,
)

ROUNDS = int(os.environ.get("KAFKA_ROUNDS", "50"))
BROKER_VERSION = int(os.environ["KAFKA_VERSION"].split(".")[0])
# 900 for the quarter of an hour that is promised.
OUTAGE_SECONDS = int(os.environ.get("KAFKA_OUTAGE", "40"))


def paused_broker():
    BROKER.kill(signal.SIGSTOP)
    ok(sql(CHECK) != "", "a check is answered while the broker is paused")
    wait(f"select state = 'backing_off' {KAFKA}", "a broker that does not answer: backing_off", 90)
    BROKER.kill(signal.SIGCONT)
    wait(DELIVERED, "rows are delivered when a paused broker answers again", 120)


@contextlib.contextmanager
def watermarks(isolation="read_uncommitted"):
    """Tells, per partition of the topic, the offset next to be written, or the last stable one."""
    consumer = Consumer(
        {"bootstrap.servers": BOOTSTRAP, "log_level": 0, "group.id": "watermarks", "isolation.level": isolation}
    )
    yield lambda: [consumer.get_watermark_offsets(TopicPartition(TOPIC, p), 30)[1] for p in range(3)]
    consumer.close()


def ends(isolation="read_uncommitted"):
    with watermarks(isolation) as now:
        return now()


def kill_behind_a_commit():
    """Kills the broker when a record has just come; tells whether its transaction has lost its marker.

    If delivery had heard of the commit it goes on, and the transaction stays open. If not, it waits,
    and an operator ends the transaction.
    """
    with watermarks() as now:
        before = now()
        writer = subprocess.Popen(["psql", "-XAtqc", CHECK], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while now() == before and time.monotonic() < deadline:
            pass
        # Somewhere between the record and the marker.
        time.sleep(random.uniform(0, 0.008))
        BROKER.kill()
        writer.wait()
    BROKER.start()
    recovered = f"select state = 'idle' {KAFKA}"
    was_waited_for = end_what_is_waited_for(recovered)
    wait(recovered, "recovered after a broker was killed right behind a commit", 120)
    return was_waited_for or left_open() != []


def open_now():
    """The partitions in which a transaction is open."""
    return [p for p, (stable, end) in enumerate(zip(ends("read_committed"), ends())) if stable < end]


def left_open():
    """Those in which it stays so: markers are written after the commit, and by a broker that is busy a good while after it."""
    poll(lambda: not open_now(), 30)
    return open_now()


def namesake():
    """A producer that says it is delivery's: it fences that, and what it ends ends what delivery has left open."""
    producer = Producer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "log_level": 0,
            "transactional.id": "admin_ext." + sql("select store_id from admin.store"),
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    return producer


def abort_in(partitions):
    """What is open in them is aborted, as kafka-transactions.sh would; delivery has to take over again."""
    producer = namesake()
    for partition in partitions:
        producer.produce(TOPIC, b"not ours", partition=partition)
    producer.flush(30)
    producer.abort_transaction(30)
    sql(CHECK)
    wait(f"select state = 'fenced' {KAFKA}", "a producer of delivery's name fences it", 90)
    sql("select pg_reload_conf()")


def take_away(partitions):
    lost = sql("select max(audit_id) from admin.audit")
    abort_in(partitions)
    wait(
        f"select state = 'stopped' and last_error ~ 'has lost delivered records' {KAFKA}",
        "what an abort took away is missed",
        90,
    )
    sql(f"select admin.resync_sink('kafka', {lost})")


def cut_marker(partition):
    """Cuts the marker of a transaction off the end of a partition's log, so that the transaction is open again; the broker is down.

    A broker that forgets a marker (KAFKA-20734) leaves the same behind, but does so by chance.
    """
    data = BROKER.directory / "data"
    folder = data / f"{TOPIC}-{partition}"
    segment = max(folder.glob("*.log"))
    log, start, at = segment.read_bytes(), 0, 0
    while at < len(log):
        start, at = at, at + 12 + int.from_bytes(log[at + 8 : at + 12], "big")
    # The attributes of a batch of records: this bit marks a control batch.
    if not log[start + 22] & 0x20:
        raise RuntimeError(f"partition {partition} does not end with a marker")
    with open(segment, "r+b") as file:
        file.truncate(start)
    # The broker makes these again from the log.
    for stale in (*folder.glob("*.snapshot"), data / "recovery-point-offset-checkpoint"):
        stale.unlink(missing_ok=True)


def forget_marker(partition):
    expect(lambda: not open_now(), "all markers are written")
    BROKER.kill()
    cut_marker(partition)
    BROKER.start()
    return open_now()


def marker_forgotten():
    """A commit that delivery has heard of loses its marker; then somebody aborts what is open, and the record is gone."""
    wait(DELIVERED, "all is delivered before a marker is lost")
    expect(lambda: not open_now(), "all markers are written")
    before = ends()
    sql(CHECK)
    wait(DELIVERED, "a row is delivered before its marker is lost")
    moved = [p for p, (then, now) in enumerate(zip(before, ends())) if then < now]
    ok(len(moved) == 1, "a row that is delivered is in one partition alone", moved)
    ok(forget_marker(moved[0]) == moved, "the transaction of a row that has lost its marker is open again")
    wait(f"select state = 'idle' {KAFKA}", "recovered with a transaction that has lost its marker", 120)
    take_away(moved)
    sql(CHECK)
    wait(DELIVERED, "what comes after a lost marker is delivered", 120)
    compare_ledger("a marker forgotten")


def unknown_left_open():
    """As before, but delivery has not heard that it was committed: it waits until somebody ends it."""
    setting("sinks", "ndjson")
    producer = namesake()
    producer.produce(TOPIC, b"not ours", partition=0)
    producer.commit_transaction(30)
    ok(forget_marker(0) == [0], "a transaction of another producer is open again")
    setting("sinks", "kafka, ndjson")
    sql(CHECK)
    wait(
        f"select state = 'backing_off' and last_error ~ 'has left open' {KAFKA}",
        "a transaction that was left open is waited for",
        90,
    )
    abort_in([0])
    wait(DELIVERED, "all is delivered when the open transaction is aborted", 120)


def end_what_is_waited_for(goal):
    """If delivery is not there within a minute because a broker of Kafka 4 has left a transaction open for good, ends it as an operator would."""
    if (
        poll(lambda: sql(goal, check=False) == "t", 60)
        or sql(f"select last_error ~ 'has left open' {KAFKA}", check=False) != "t"
    ):
        return False
    partitions = left_open()
    if not partitions:
        return False
    print("# a transaction was left open", flush=True)
    ok(BROKER_VERSION >= 4, "only a broker of Kafka 4 leaves a transaction open for good", BROKER_VERSION)
    abort_in(partitions)
    return True


def deliver_all(name):
    """Within five minutes."""
    end_what_is_waited_for(DELIVERED)
    wait(DELIVERED, name, 240)


def killed_behind_a_commit():
    """A commit is acknowledged before its markers are written; a broker that was killed in between writes them later, or forgets them."""
    times = 0
    for _ in range(max(ROUNDS // 10, 4)):
        times += kill_behind_a_commit()
        sql(CHECK)
        wait(DELIVERED, "what comes after a broker was killed behind a commit is delivered", 120)
    print(f"# markers came late, or never, {times} times", flush=True)
    compare_ledger("brokers killed behind commits")


def outage():
    """The broker is away for long: writers do not notice, one line in the log says so, one that it is over."""
    changes = state_changes()
    BROKER.kill()
    deadline = time.monotonic() + OUTAGE_SECONDS
    checks = 0
    while time.monotonic() < deadline:
        checks += sql(CHECK) != ""
        time.sleep(0.05)
    ok(checks > 0, f"checks are answered while the broker is away for {OUTAGE_SECONDS} s: {checks}")
    wait(f"select lag_rows >= {checks} {KAFKA}", "rows that wait during an outage are counted")
    ok(
        float(sql(f"select lag_seconds {KAFKA}")) > OUTAGE_SECONDS / 2,
        "lag_seconds says for how long rows have waited during an outage",
    )
    BROKER.start()
    wait(DELIVERED, "rows are delivered when the broker is back", 120)
    said = state_changes() - changes
    ok(said == 2, "the log has one line for the outage and one for its end", said)


WRITER = """
\\set n random(1, 9)
\\set v random(1, 1000000)
\\set kind random(1, 5)
begin;
\\if :kind = 1
set local synchronous_commit = off;
\\endif
update admin.approval set resource = (:v)::text where approval_id = 'APP-00000' || :n || '-k';
savepoint s;
select admin.sensitive_check('APP-00000' || :n || '-k');
\\if :kind = 2
rollback to s;
\\endif
\\if :kind = 3
rollback;
\\elif :kind = 4
prepare transaction 'p:client_id';
commit prepared 'p:client_id';
\\else
commit;
\\endif
"""


def write_until(stop, *more):
    """Further arguments are pgbench's."""
    script = SCRATCH / "writer.sql"
    script.write_text(WRITER)
    while not stop.is_set():
        for gid in range(3):
            sql(f"rollback prepared 'p{gid}'", check=False)
        # What a crash leaves prepared holds locks: nobody waits for them for long.
        subprocess.run(
            ["pgbench", "-n", "-c", "3", "-T", "5", *more, "-f", str(script)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PGOPTIONS": "-c lock_timeout=1s -c statement_timeout=10s"},
        )


def kill_something():
    kind = random.choice(["worker", "worker", "ended", "postmaster", "broker"])
    pid = sql(f"select pid {KAFKA}", check=False)
    if kind == "worker" and pid:
        send_signal(pid, signal.SIGKILL)
    elif kind == "ended" and pid:
        send_signal(pid, signal.SIGTERM)
    elif kind == "postmaster":
        subprocess.run(
            [*AS_SERVER, f"{BIN}/pg_ctl", "-D", str(SCRATCH / "data"), "-m", "immediate", "-w", "stop"],
            stdout=subprocess.DEVNULL,
            cwd=SCRATCH,
        )
        pg_ctl("start")
    elif kind == "broker":
        BROKER.kill()
        BROKER.start()
    return kind


def ledger():
    stop, before = threading.Event(), int(sql("select count(*) from admin.audit"))
    # Records were taken out of the topic above.  Their numbers stay missing: the rows came again under others.
    deliver_all("rows from before the ledger are delivered")
    since = int(sql("select last_number from admin.delivery_chain('kafka')"))
    writer = threading.Thread(target=write_until, args=(stop,))
    writer.start()
    killed = {}
    for _ in range(ROUNDS):
        # Somewhere in the middle of whatever goes on.
        time.sleep(random.uniform(0.05, 1.2))
        kind = kill_something()
        killed[kind] = killed.get(kind, 0) + 1
    stop.set()
    writer.join()
    print(f"# killed: {killed}", flush=True)
    wait(f"select count(*) > {before} + {ROUNDS} from admin.audit", "rows were written while processes were killed")
    for gid in range(3):
        sql(f"commit prepared 'p{gid}'", check=False)
    deliver_all(f"all is delivered after {ROUNDS} rounds")
    compare_ledger("ledger")
    compare_chain("ledger", since=since)


def delete_up_to(offsets):
    for future in ADMIN.delete_records([TopicPartition(TOPIC, p, offset) for p, offset in enumerate(offsets)]).values():
        future.result()


def emptied():
    """An idle topic whose retention has taken all is no loss."""
    wait(DELIVERED, "all is delivered before the topic is emptied")
    expect(lambda: not open_now(), "all markers are written")
    # Not by the setting "sinks": its change is an event, whose transaction the worker may abort at its end.
    pg_ctl("stop")
    delete_up_to(ends())
    pg_ctl("start")
    sql(CHECK)
    wait(DELIVERED, "a topic emptied by its retention is no loss", 90)
    ok(
        [document["type"] for _, _, document in read_topic()].count("ptt.admin.sensitive.check.2b") == 1,
        "a topic emptied by its retention takes the next row once",
    )


def truncated():
    """Records are gone that delivery never knew of: nobody can say what they were."""
    setting("sinks", "ndjson")
    other = Producer({"bootstrap.servers": BOOTSTRAP, "log_level": 0})
    for partition in range(3):
        for _ in range(10):
            other.produce(TOPIC, b"not ours", partition=partition)
    other.flush(30)
    delete_up_to([high - 2 for high in ends()])
    setting("sinks", "kafka, ndjson")
    wait(
        f"select state = 'stopped' and last_error ~ 'has lost delivered records' {KAFKA}",
        "a topic truncated past what is remembered stops delivery",
        90,
    )
    sql("select admin.resync_sink('kafka', (select max(audit_id) + 1 from admin.audit))")
    sql(CHECK)
    wait(DELIVERED, "resync_sink lets delivery go on in a truncated topic", 90)


def can_make_topic():
    try:
        make_topic(TOPIC)
    except KafkaException:
        return False
    return True


def topic_recreated():
    ADMIN.delete_topics([TOPIC])[TOPIC].result()
    sql(CHECK)
    wait(f"select state in ('backing_off', 'stopped') {KAFKA}", "a deleted topic is a state", 90)
    # For a moment the broker says that it is there.
    expect(can_make_topic, "the topic is recreated", 30)
    wait(
        f"select state = 'stopped' and last_error ~ 'or was recreated: ' {KAFKA}",
        "a topic that was recreated is noticed",
        90,
    )
    first = sql("select min(audit_id) from admin.audit_delivery where sink = 'kafka' and sink_status = 'pending'")
    sql(f"select admin.resync_sink('kafka', {first})")
    wait(DELIVERED, "resync_sink lets delivery go on in a recreated topic", 90)
    ok(
        {event["auditid"] for _, _, event in read_topic()}
        == set(sql(f"select audit_id from admin.audit where audit_id >= {first}").splitlines()),
        "a recreated topic has the rows that resync_sink asked for, once",
    )


if __name__ == "__main__":
    main(
        create_extension,
        killed_behind_a_commit,
        marker_forgotten,
        unknown_left_open,
        paused_broker,
        outage,
        ledger,
        emptied,
        truncated,
        topic_recreated,
    )
