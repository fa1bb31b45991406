"""latency_reader.py TOPIC: how old records are when a read_committed consumer has them.

Says ready, then reads until it has as many as a line of its input says; prints JSON.
"""

import json
import re
import select
import sys
import time

from broker import BOOTSTRAP
from confluent_kafka import Consumer, TopicPartition

AT = re.compile(rb'"at": ?([0-9.]+)')


def percentile(ages, share):
    return ages[min(int(len(ages) * share), len(ages) - 1)] * 1000


def main():
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "log_level": 0,
            "group.id": "latency",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 10,
            "fetch.min.bytes": 1,
        }
    )
    topic = sys.argv[1]
    partitions = [TopicPartition(topic, p) for p in consumer.list_topics(topic, 30).topics[topic].partitions]
    for partition in partitions:
        partition.offset = consumer.get_watermark_offsets(partition, timeout=30)[1]
    consumer.assign(partitions)
    consumer.poll(1)
    print("ready", flush=True)
    ages, expected, deadline = [], None, None
    while expected is None or len(ages) < expected:
        message = consumer.poll(0.1)
        if message is not None and not message.error():
            ages.append(time.time() - float(AT.search(message.value()).group(1)))
            continue
        if expected is None and select.select([sys.stdin], [], [], 0)[0]:
            expected, deadline = int(sys.stdin.readline()), time.monotonic() + 60
        if deadline and time.monotonic() > deadline:
            break
    ages.sort()
    consumer.close()
    if expected != len(ages):
        sys.exit(f"{len(ages)} of {expected} records have come")
    print(json.dumps({"p50": round(percentile(ages, 0.5), 2), "p99": round(percentile(ages, 0.99), 2)}))


main()
