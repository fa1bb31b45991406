"""pgq_consumer.py TOPIC ROWS: takes a PGQ queue's batches and sends them to Kafka, idempotently.

What people run today in place of a worker; prints the seconds from its first batch to
the commit of its last.  At least once: it may die between Kafka's answer and finish_batch.
"""

import sys
import time

import psycopg2
from broker import BOOTSTRAP
from confluent_kafka import Producer

FETCH = 5000


def main():
    topic, rows = sys.argv[1], int(sys.argv[2])
    producer = Producer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "log_level": 0,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 2,
            "batch.size": 1000000,
            "batch.num.messages": 100000,
            "queue.buffering.max.messages": 2000000,
            "partitioner": "murmur2_random",
        }
    )
    failures = []
    connection = psycopg2.connect("")
    cursor = connection.cursor()
    started, sent, deadline = time.monotonic(), 0, time.monotonic() + 600
    while sent < rows and time.monotonic() < deadline:
        cursor.execute("select pgq.next_batch('bench', 'kafka')")
        batch = cursor.fetchone()[0]
        if batch is None:
            sys.exit(f"the queue has {sent} of {rows} rows")
        cursor.execute("select ev_data, ev_extra1 from pgq.get_batch_cursor(%s, 'batch', %s)", (batch, FETCH))
        events = cursor.fetchall()
        while events:
            for data, key in events:
                producer.produce(topic, data, key, on_delivery=lambda error, _: error and failures.append(error))
            producer.poll(0)
            sent += len(events)
            cursor.execute("fetch %s from batch", (FETCH,))
            events = [(event[4], event[5]) for event in cursor.fetchall()]
        if producer.flush(60) or failures:
            sys.exit(f"Kafka does not take it: {failures[:1]}")
        cursor.execute("select pgq.finish_batch(%s)", (batch,))
        connection.commit()
    if sent != rows:
        sys.exit(f"{sent} of {rows} rows were sent")
    print(time.monotonic() - started)


main()
