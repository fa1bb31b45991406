"""A topic that loses what was delivered, and a broker that goes away, while the worker is connected; speaks TAP."""

import contextlib
import os
import re
import signal
import threading

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions
from harness import (
    ADMIN,
    BOOTSTRAP,
    BROKER,
    CHECK,
    DELIVERED,
    KAFKA,
    TOPIC,
    alter_topic,
    create_extension,
    ends,
    expect,
    main,
    make_topic,
    ok,
    pg_ctl,
    poll,
    read_topic,
    sql,
    state_changes,
    wait,
)

# What is promised is 10 s; a machine that is busy has more.
SOON = 20
STOPPED = f"select state = 'stopped' and last_error ~ 'has lost delivered records, or was recreated' {KAFKA}"


def deliver_some(rows=5):
    for _ in range(rows):
        sql(CHECK)
    wait(DELIVERED, f"{rows} rows are delivered", 60)
    expect(lambda: sql(f"select state = 'idle' {KAFKA}") == "t", "the worker is idle")


def can_make_topic(partitions):
    try:
        make_topic(TOPIC, partitions)
    except KafkaException:
        return False
    return True


def recreate(partitions=3):
    ADMIN.delete_topics([TOPIC])[TOPIC].result()
    # For a moment the broker says that the topic is there.
    expect(lambda: can_make_topic(partitions), "the topic is created again", 30)


def resync(name):
    """An operator decides: what is pending goes on."""
    sql("select admin.resync_sink('kafka', (select max(audit_id) + 1 from admin.audit))")
    sql(CHECK)
    wait(DELIVERED, f"resync_sink lets delivery go on: {name}", 60)


def notices(name):
    wait(STOPPED, name, SOON)
    ok(
        sql("select admin.resync_proposal('kafka')") != "",
        "resync_proposal tells an operator what to do about a topic that has lost records",
    )
    before = len(read_topic())
    sql(CHECK)
    poll(lambda: sql(f"select lag_rows > 0 {KAFKA}") == "t", 10)
    ok(len(read_topic()) == before, "no row is sent to a topic that has lost records")
    sql("select pg_reload_conf()")
    expect(lambda: sql(f"select state <> 'starting' {KAFKA}") == "t", "the worker reads its settings again")
    wait(STOPPED, "a reload does not hide that a topic has lost records", SOON)
    resync(name)


def recreated_while_idle():
    for partitions in (3, 6, 1, 3):
        deliver_some()
        recreate(partitions)
        notices(f"an idle worker notices that the topic was recreated with {partitions} partitions")


def fill(records=200):
    """Another producer writes to all partitions of the topic."""
    other = Producer({"bootstrap.servers": BOOTSTRAP, "log_level": 0})
    for partition in range(3):
        for _ in range(records):
            other.produce(TOPIC, b"not ours", partition=partition)
    other.flush(30)


def recreated_and_filled():
    """So offsets alone tell nothing."""
    deliver_some()
    recreate()
    fill()
    notices("an idle worker notices that the topic was recreated and filled by others")


def recreated_under_load():
    deliver_some()
    stop = threading.Event()

    def write():
        while not stop.is_set():
            sql(CHECK)

    writer = threading.Thread(target=write)
    writer.start()
    expect(lambda: sql(f"select delivered_rows > 50 {KAFKA}") == "t", "delivery is busy")
    recreate()
    wait(STOPPED, "a busy worker notices that the topic was recreated", SOON)
    stop.set()
    writer.join()
    gone = sql(
        "select count(*) from admin.audit_delivery where sink = 'kafka' and sink_status = 'delivered' and audit_id > "
        "(select max(audit_id) - 5 from admin.audit)"
    )
    ok(gone == "0", "the rows that came last are not called delivered", gone)
    resync("after a load")


def copy_partition(partition, end):
    """Value, key and headers of its records, by offset; of nothing where a marker or an aborted record is."""
    reader = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "log_level": 0,
            "group.id": "copy",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    reader.assign([TopicPartition(TOPIC, partition, 0)])
    records = [(None, None, None)] * end
    while not (message := reader.poll(30)).error():
        records[message.offset()] = message.value(), message.key(), message.headers()
    reader.close()
    return records


def refill():
    """Recreates the topic, with the same records at the same offsets, up to the same watermarks."""
    copies = [copy_partition(partition, end) for partition, end in enumerate(ends())]
    recreate(len(copies))
    other = Producer({"bootstrap.servers": BOOTSTRAP, "log_level": 0, "retries": 0})
    for partition, records in enumerate(copies):
        for value, key, headers in records:
            other.produce(TOPIC, value, key, partition, headers=headers)
            other.poll(0)
    other.flush(30)
    ok(ends() == [len(records) for records in copies], "the topic is recreated, with all that it held", ends())


@contextlib.contextmanager
def worker_stopped():
    worker = int(sql(f"select pid {KAFKA}"))
    os.kill(worker, signal.SIGSTOP)
    yield
    os.kill(worker, signal.SIGCONT)


@contextlib.contextmanager
def server_stopped():
    pg_ctl("stop", "-m", "fast")
    yield
    pg_ctl("start")


def recreated_and_refilled():
    """Its id alone tells: librdkafka has a call for it since 2.3.0."""
    has_ids = os.environ.get("RDKAFKA") == "newer"
    for meanwhile, name in ((worker_stopped, "an idle worker"), (server_stopped, "a server that is started again")):
        deliver_some()
        remembers = "select sink_detail ~ '^ptt.audit.trail/[A-Za-z0-9_-]{22} ' from admin.sink_position where sink = 'kafka' order by position_id desc limit 1"
        expect(lambda: sql(remembers) == ("t" if has_ids else "f"), "the id of the topic is recorded where it is known")
        with meanwhile():
            refill()
        if has_ids:
            wait(
                f"select last_error ~ 'its id is .*, remembered is ' {KAFKA}",
                f"{name} notices by its id that the topic was recreated",
                SOON + 20,
            )
            notices(f"{name} stops for a topic that was recreated and holds the same records")
        else:
            deliver_some()
            ok(
                sql(f"select state {KAFKA}") == "idle",
                f"{name} goes on in a topic that holds the same records, where no id is known",
            )


def delete_up_to(offsets):
    for future in ADMIN.delete_records([TopicPartition(TOPIC, p, offset) for p, offset in enumerate(offsets)]).values():
        future.result()


def truncated_while_idle():
    """Records that came behind ours are gone, too: nobody can say what they were."""
    deliver_some()
    BROKER.kill(signal.SIGSTOP)
    worker = int(sql(f"select pid {KAFKA}"))
    os.kill(worker, signal.SIGSTOP)
    BROKER.kill(signal.SIGCONT)
    fill(10)
    delete_up_to([end - 2 for end in ends()])
    os.kill(worker, signal.SIGCONT)
    notices("an idle worker notices that the topic was truncated past what it remembers")


def batches(log):
    """Where the batches of records in a segment begin."""
    at, found = 0, []
    while at < len(log):
        found.append(at)
        at += 12 + int.from_bytes(log[at + 8 : at + 12], "big")
    return found


def rolled_back():
    """A broker comes back from an older copy of its disk."""
    before = ends()
    deliver_some(1)
    partition = next(p for p, (then, now) in enumerate(zip(before, ends())) if then < now)
    expect(lambda: ends()[partition] == before[partition] + 2, "the marker is written")
    BROKER.kill()
    data = BROKER.directory / "data"
    folder = data / f"{TOPIC}-{partition}"
    segment = max(folder.glob("*.log"))
    with open(segment, "r+b") as file:
        # The record and its marker.
        file.truncate(batches(segment.read_bytes())[-2])
    for stale in (*folder.glob("*.snapshot"), data / "recovery-point-offset-checkpoint"):
        stale.unlink(missing_ok=True)
    BROKER.start()
    wait(STOPPED, "a topic that was rolled back is noticed", 60)
    resync("after a topic was rolled back")


def undisturbed(name, change, seconds=12):
    """The worker stays idle over several looks.

    A look that the change falls into may see two halves that do not agree. So the change is made once more, and then
    no look may be disturbed.
    """
    for _ in range(2):
        expect(lambda: sql(f"select state = 'idle' {KAFKA}") == "t", "the worker is idle")
        changes = state_changes()
        change()
        if not poll(lambda: state_changes() != changes, seconds):
            break
    ok(state_changes() == changes, name, state_changes() - changes)


def no_loss():
    deliver_some()
    undisturbed("an idle topic that its retention has emptied is no loss", lambda: delete_up_to(ends()))
    undisturbed("records of others are no loss", lambda: fill(10))
    deliver_some()
    counts = iter((5, 6))
    undisturbed(
        "partitions that are added are no loss",
        lambda: ADMIN.create_partitions([NewPartitions(TOPIC, next(counts))])[TOPIC].result(),
    )
    sql("select pg_reload_conf()")
    deliver_some(20)
    compare_known("partitions were added")


def remembered():
    """Behind which offset of each partition delivery stands, as the database has it."""
    detail = sql("select sink_detail from admin.sink_position where sink = 'kafka' order by position_id desc limit 1")
    return [int(offset) for offset in re.findall(r"\b\d+:(\d+)", detail.split(" ", 2)[2])]


def has_gone_past(wanted):
    """Each row that is delivered lets the database remember what the worker has seen before."""
    sql(CHECK)
    return poll(lambda: sql(DELIVERED) == "t", 60) and all(have >= want for have, want in zip(remembered(), wanted))


def aborted_and_emptied():
    """What a broker rejects leaves a marker in its partition and no record, and retention takes that, too."""
    deliver_some()
    alter_topic(TOPIC, max_message_bytes=20000)
    before = ends()
    sql(
        "select count(admin_internal.append_event('bulk', to_json((select string_agg(md5(random()::text || n || i), '') from generate_series(1, 4000) as i)), "
        "'APP-00000' || n || '-k')) from generate_series(1, 9) as n"
    )
    wait(
        "select count(*) = 9 from admin.dead_letter where sink = 'kafka'",
        "records that are too large are dead letters",
        120,
    )
    marked = ends()
    ok(
        all(now > then for now, then in zip(marked, before)),
        "records that were rejected have left a marker in each partition",
        (before, marked),
    )
    ok(
        poll(lambda: has_gone_past(marked), 60),
        "what is remembered goes past the markers of an aborted batch",
        (remembered(), marked),
    )
    expect(lambda: sql(f"select state = 'idle' {KAFKA}") == "t", "the worker is idle")
    undisturbed(
        "an aborted batch in a partition that its retention has emptied is no loss", lambda: delete_up_to(ends())
    )
    sql("select pg_reload_conf()")
    deliver_some(1)
    pg_ctl("restart", "-m", "fast")
    wait(
        f"select state = 'idle' {KAFKA}",
        "an aborted batch that retention has taken is no loss for a server that is started again",
        90,
    )
    alter_topic(TOPIC, max_message_bytes=1048588)


def compare_known(name):
    """Every row that is delivered since the last resync is in the topic once."""
    first = sql("select max(audit_id) from admin.audit where event_type = 'sink.resynced'") or "0"
    delivered = set(
        sql(
            f"select audit_id from admin.audit_delivery where sink = 'kafka' and sink_status = 'delivered' and audit_id > {first}"
        ).splitlines()
    )
    seen = [event["auditid"] for _, _, event in read_topic() if int(event["auditid"]) > int(first)]
    ok(len(seen) == len(set(seen)) and set(seen) <= delivered, f"{name}: no row is in the topic twice")


def broker_away():
    deliver_some()
    BROKER.kill(signal.SIGSTOP)
    wait(
        f"select state = 'backing_off' and last_error is not null {KAFKA}",
        "an idle worker notices that the broker is paused",
        SOON,
    )
    BROKER.kill(signal.SIGCONT)
    wait(
        f"select state = 'idle' and last_error is null {KAFKA}",
        "an idle worker notices that a paused broker answers again",
        60,
    )
    BROKER.kill()
    wait(
        f"select state = 'backing_off' and last_error ~ 'start the brokers' {KAFKA}",
        "an idle worker notices that the broker is gone",
        SOON,
    )
    BROKER.start()
    wait(f"select state = 'idle' and last_error is null {KAFKA}", "an idle worker notices that a broker is back", 60)
    deliver_some()


def topic_away():
    ADMIN.delete_topics([TOPIC])[TOPIC].result()
    wait(
        f"select state = 'backing_off' and last_error ~ 'create the topic' {KAFKA}",
        "an idle worker notices that the topic was deleted",
        SOON,
    )
    expect(lambda: can_make_topic(3), "the topic is created again", 30)
    notices("a topic that was deleted and comes back is another one")


if __name__ == "__main__":
    main(
        create_extension,
        recreated_while_idle,
        recreated_and_filled,
        recreated_and_refilled,
        recreated_under_load,
        truncated_while_idle,
        rolled_back,
        aborted_and_emptied,
        no_loss,
        broker_away,
        topic_away,
    )
