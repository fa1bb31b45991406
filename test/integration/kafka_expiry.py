"""A broker that forgets transactional ids, and with them whom it has fenced; speaks TAP."""

import shutil

from confluent_kafka import Consumer, TopicPartition
from harness import (
    BOOTSTRAP,
    BROKER,
    CHECK,
    DELIVERED,
    KAFKA,
    compare_ledger,
    create_extension,
    expect,
    main,
    ok,
    pg_ctl,
    read_topic,
    setting,
    sql,
    wait,
)
from kafka_copies import copy_cluster


def begin():
    with open(BROKER.directory / "server.properties", "a") as properties:
        properties.write(
            "transactional.id.expiration.ms=8000\ntransaction.remove.expired.transaction.cleanup.interval.ms=1000\n"
        )
    BROKER.kill()
    BROKER.start()
    create_extension()
    setting("sinks", "kafka")
    sql(CHECK)
    wait(DELIVERED, "delivery has begun", 90)


def forgotten():
    """How often the broker has forgotten a transactional id: its state is removed by a record without a value."""
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "log_level": 0,
            "group.id": "forgotten",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    partitions = consumer.list_topics("__transaction_state", 30).topics["__transaction_state"].partitions
    consumer.assign([TopicPartition("__transaction_state", p, 0) for p in partitions])
    times, ended = 0, set()
    while len(ended) < len(partitions):
        message = consumer.poll(10)
        if message is None:
            raise TimeoutError("the state of transactions cannot be read")
        if message.error():
            ended.add(message.partition())
        elif message.value() is None and b"admin_ext." in message.key():
            times += 1
    consumer.close()
    return times


def let_expire():
    before = forgotten()
    expect(lambda: forgotten() > before, "the broker forgets the transactional id", 90)


def alone():
    let_expire()
    sql(CHECK)
    wait(DELIVERED, "a row is delivered though the transactional id has expired", 60)
    compare_ledger("an id expired")


def clone():
    """The clone has delivered; then the broker forgets that it has fenced the first."""
    pg_ctl("stop", "-m", "fast")
    copy = copy_cluster("clone")
    pg_ctl("start")
    wait(f"select state = 'idle' {KAFKA}", "the first of two is at work", 90)
    pg_ctl("start", data=copy)
    wait(f"select state = 'idle' {KAFKA}", "the clone of the first server takes over", 90, host=copy)
    sql(CHECK, host=copy)
    wait(DELIVERED, "the clone delivers", 60, host=copy)
    let_expire()
    sql(CHECK)
    wait(
        f"select state = 'stopped' and last_error ~ 'has lost' {KAFKA}",
        "the first server stops: the topic holds what the clone has delivered",
        60,
    )
    sql(CHECK, host=copy)
    wait(DELIVERED, "the clone goes on by itself", 60, host=copy)
    ok(sql(f"select state {KAFKA}", host=copy) in ("idle", "delivering"), "the clone is not fenced by the first server")
    events = [(event["source"], event["id"]) for _, _, event in read_topic()]
    ok(len(events) == len(set(events)), "no two events have one source and id")
    compare_ledger("rows of the clone", host=copy)
    pg_ctl("stop", "-m", "fast", data=copy)
    shutil.rmtree(copy)


if __name__ == "__main__":
    main(begin, alone, clone)
