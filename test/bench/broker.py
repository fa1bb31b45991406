"""Topics of the broker that test/bench/run has started, and what arrives in them."""
import functools
import os
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")
PARTITIONS = 4


@functools.cache
def admin():
    return AdminClient({"bootstrap.servers": BOOTSTRAP, "log_level": 0})


def make_topic(name):
    """Records carry the broker's time: it is what tells when the first and the last came."""
    config = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
    admin().create_topics([NewTopic(name, PARTITIONS, 1, config=config)])[name].result(30)


def drop_topic(name):
    admin().delete_topics([name])[name].result(30)


class Reader:
    """Reads a topic from where it ended when this was made."""

    def __init__(self, topic, isolation="read_committed"):
        self.consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "log_level": 0, "group.id": "bench", "isolation.level": isolation,
                                  "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.max.bytes": 52428800, "queued.max.messages.kbytes": 65536})
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
        self.consumer.assign([TopicPartition(p.topic, p.partition, start) for p, start in zip(self.partitions, self.starts)])
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
