"""Topics of the broker that test/bench/run has started, and what arrives in them."""

import functools
import os
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")
PARTITIONS = 4
WARM_SECONDS = int(os.environ.get("BENCH_WARM", "30"))


@functools.cache
def admin():
    return AdminClient({"bootstrap.servers": BOOTSTRAP, "log_level": 0})


def make_topic(name):
    """Records carry the broker's time: it is what tells when the first and the last came."""
    config = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
    admin().create_topics([NewTopic(name, PARTITIONS, 1, config=config)])[name].result(30)


def drop_topic(name):
    admin().delete_topics([name])[name].result(30)


@functools.cache
def warm_up():
    """Once a run, small transactions and who reads them: a virtual machine that has just started would be measured in the broker's place."""
    make_topic("warm")
    # Several, in turn: the client pauses for 20 ms where its last transaction is still being completed.
    producers = [
        Producer(
            {
                "bootstrap.servers": BOOTSTRAP,
                "log_level": 0,
                "transactional.id": f"warm.{i}",
                "compression.type": "lz4",
                "linger.ms": 0,
            }
        )
        for i in range(8)
    ]
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "log_level": 0,
            "group.id": "warm",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
    )
    consumer.assign([TopicPartition("warm", p, 0) for p in range(PARTITIONS)])
    for producer in producers:
        producer.init_transactions(30)
    transactions, deadline = 0, time.monotonic() + WARM_SECONDS
    while time.monotonic() < deadline:
        producer = producers[transactions % len(producers)]
        producer.begin_transaction()
        for partition in range(PARTITIONS):
            producer.produce("warm", b"x" * 500, partition=partition)
        producer.commit_transaction(30)
        consumer.consume(1000, 0)
        transactions += 1
    consumer.close()
    drop_topic("warm")
    print(f"    the broker has been warmed up with {transactions:,} transactions", flush=True)


class Reader:
    """Reads a topic from where it ended when this was made."""

    def __init__(self, topic, isolation="read_committed"):
        self.consumer = Consumer(
            {
                "bootstrap.servers": BOOTSTRAP,
                "log_level": 0,
                "group.id": "bench",
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.max.bytes": 52428800,
                "queued.max.messages.kbytes": 65536,
            }
        )
        self.partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        self.starts = self.ends()

    def ends(self):
        return [self.consumer.get_watermark_offsets(partition, timeout=30)[1] for partition in self.partitions]

    def wait(self, records, seconds):
        """Until so many offsets have been added; nothing is read meanwhile, so that nobody is disturbed."""
        deadline = time.monotonic() + seconds
        while sum(self.ends()) - sum(self.starts) < records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{records} records do not arrive: {sum(self.ends()) - sum(self.starts)}")
            time.sleep(0.1)

    def span(self, records, seconds=120):
        """Reads them all; seconds from the first to the last by the broker's clock."""
        self.consumer.assign(
            [TopicPartition(p.topic, p.partition, start) for p, start in zip(self.partitions, self.starts)]
        )
        deadline, count, first, last = time.monotonic() + seconds, 0, None, 0
        while count < records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count} of {records} records can be read")
            for message in self.consumer.consume(10000, 1):
                if message.error():
                    raise RuntimeError(message.error())
                at = message.timestamp()[1]
                count, first, last = count + 1, min(first or at, at), max(last, at)
        more = len(self.consumer.consume(1, 1))
        if count + more != records:
            raise RuntimeError(f"{records} records were to come, more have come")
        return (last - first) / 1000

    def close(self):
        self.consumer.close()
