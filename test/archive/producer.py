"""A producer that writes a topic as the worker does: numbers, seals, one transaction a batch."""

import hashlib
import json
import random
import struct
import uuid

from admin_client.evidence import chain
from confluent_kafka import Producer

CONTENT_TYPE = ("content-type", b"application/cloudevents+json; charset=UTF-8")


def document(store, audit_id, size=100, source=None):
    """An event of a store, or an ingested one, which has a source of its own."""
    event = {
        "specversion": "1.0",
        "id": str(audit_id),
        "source": source or f"/admin_ext/{store}",
        "type": "ptt.admin.sensitive.check.2b",
        "subject": f"APP-{audit_id}-test",
        "data": {"pad": hashlib.sha256(str(audit_id).encode()).hexdigest() * max(1, size // 64)},
    }
    return json.dumps(event, separators=(",", ":")).encode()


class Worker:
    """One store's side of the topic; what it has written is the ledger."""

    def __init__(self, bootstrap, topic, partitions, store=None, schema_id=None, sink="kafka", **options):
        self.topic, self.partitions, self.sink, self.schema_id = topic, partitions, sink, schema_id
        self.store = store or str(uuid.uuid4())
        self.chain, self.number = chain.start(self.store, sink), 0
        self.ledger = []
        self.random = random.Random(self.store)
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": f"admin_ext.{self.store}",
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 80_000_000,
                **options,
            }
        )
        self.producer.init_transactions(60)

    def wire(self, body):
        """With the registry's prefix, where there is one."""
        return body if self.schema_id is None else struct.pack(">bI", 0, self.schema_id) + body

    def seal(self, first, last, after, **more):
        """The header of a batch's last record."""
        members = {
            "v": 1,
            "store": self.store,
            "sink": self.sink,
            "first": first,
            "last": last,
            "chain": after.hex(),
            "previous": self.chain.hex(),
            **more,
        }
        return json.dumps(members).encode()

    def batch(self, bodies, number=True, seal=True, skip=(), names_store=False, **more):
        """One batch as one transaction; skip: numbers that are left out, as if somebody had deleted them."""
        first, last = self.number + 1, self.number + len(bodies)
        after = chain.extend(self.chain, first, len(bodies), chain.content_hash(bodies))
        self.producer.begin_transaction()
        for index, body in enumerate(bodies):
            headers = [CONTENT_TYPE]
            if number:
                headers.append(("admin-ext-number", str(first + index).encode()))
            if names_store:
                headers.append(("admin-ext-store", self.store.encode()))
            if seal and first + index == last:
                headers += [
                    ("admin-ext-position", b"the worker's own"),
                    ("admin-ext-seal", self.seal(first, last, after, **more)),
                ]
            if first + index not in skip:
                self.producer.produce(
                    self.topic,
                    self.wire(body),
                    key=f"APP-{first + index}",
                    headers=headers,
                    partition=self.random.randrange(self.partitions),
                )
                self.producer.poll(0)
        self.producer.commit_transaction(60)
        self.chain, self.number = after, last
        self.ledger += bodies

    def batches(self, count, size=20, **more):
        """That many batches of documents that are nobody else's."""
        for _ in range(count):
            self.batch([document(self.store, self.number + index + 1) for index in range(size)], **more)

    def abort(self, size=5):
        """A transaction that read_committed readers never see."""
        self.producer.begin_transaction()
        for index in range(size):
            self.producer.produce(
                self.topic,
                b"{}",
                headers=[("admin-ext-number", str(self.number + index + 1).encode())],
                partition=index % self.partitions,
            )
        self.producer.flush(30)
        self.producer.abort_transaction(60)


def plain(bootstrap, topic, records):
    """Records of somebody else: (partition, key, value, headers)."""
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 80_000_000})
    for partition, key, value, headers in records:
        producer.produce(topic, value, key=key, headers=headers, partition=partition)
    assert producer.flush(30) == 0
