"""What the tests of the Kafka sink share besides: broker, topic and ledger.

Server and broker were started by test/integration/run, which ends them.
"""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import time

import common
from common import AS_SERVER, BIN, CHECK, SCRATCH, expect, ok, pg_ctl, poll, send_signal, setting, settings, sql, wait
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

TOPIC = "ptt.audit.trail"
BOOTSTRAP = os.environ["KAFKA_BOOTSTRAP"]
KAFKA = "from admin.worker_status where sink = 'kafka' and database = current_database()"
DELIVERED = "select not exists (select from admin.audit_delivery where sink = 'kafka' and sink_status = 'pending')"


def kill_worker():
    common.kill_worker("kafka")


def state_changes(sink="kafka"):
    return common.state_changes(sink)


class Broker:
    """One that test/integration/run has started, and what became of it."""

    def __init__(self, directory=os.environ["KAFKA_DIR"], pid=os.environ["KAFKA_PID"]):
        self.directory, self.pid, self.process = pathlib.Path(directory), int(pid), None
        self.log = self.directory / "broker.log"

    def kill(self, how=signal.SIGKILL):
        os.kill(self.pid, how)
        if how == signal.SIGKILL and self.process:
            self.process.wait()

    def start(self):
        before = self.says("Kafka Server started")
        with open(self.log, "a") as out:
            self.process = subprocess.Popen([str(self.directory / "start")], stdout=out, stderr=out)
        self.pid = self.process.pid
        expect(lambda: self.says("Kafka Server started") > before, "the broker starts", 120)

    def says(self, text):
        """How often, in its log."""
        return self.log.read_text(errors="replace").count(text)

    def stop(self):
        """Ends it, if it was started here."""
        if self.process:
            self.process.kill()
            self.process.wait()


NODES = int(os.environ.get("KAFKA_NODES", "1"))
BROKER = Broker()
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP, "log_level": 0})


def make_topic(name, partitions=3):
    """With a copy on each broker, of which all but one have to be in sync."""
    ADMIN.create_topics([NewTopic(name, partitions, NODES, config={"min.insync.replicas": str(max(NODES - 1, 1))})])[
        name
    ].result()


def alter_topic(name, **values):
    resource = ConfigResource(
        ConfigResource.Type.TOPIC,
        name,
        incremental_configs=[
            ConfigEntry(key.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET)
            for key, value in values.items()
        ],
    )
    ADMIN.incremental_alter_configs([resource])[resource].result()


def high_watermark(consumer, partition):
    """The end of a partition of the topic; a broker that has just come back may not know it for a moment."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), 30)[1]
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            consumer.list_topics(TOPIC, 5)


def ends():
    """The high watermark of each partition of the topic."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "log_level": 0, "group.id": "ends"})
    partitions = range(len(consumer.list_topics(TOPIC, 30).topics[TOPIC].partitions))
    result = [high_watermark(consumer, p) for p in partitions]
    consumer.close()
    return result


def read_topic(topic=TOPIC, read=json.loads):
    """All committed records as (key, headers, what read makes of the value), partition by partition; none of those without a key, which are not ours."""
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "log_level": 0,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    partitions = list(consumer.list_topics(topic, 30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    records, ended, deadline = [], set(), time.monotonic() + 120
    while len(ended) < len(partitions):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the end of {topic} is not reached")
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            ended.add(message.partition())
        elif message.key() is not None:
            records.append((message.key().decode(), dict(message.headers() or []), read(message.value())))
    consumer.close()
    return records


def compare_ledger(name, topic=TOPIC, read=json.loads, host=None):
    expected = dict(
        line.split("|", 1)
        for line in sql(
            "select audit_id, md5(payload::text) from admin.audit where audit_id not in "
            "(select audit_id from admin.dead_letter)",
            host=host,
        ).splitlines()
    )
    store = sql("select store_id from admin.store", host=host)
    seen, duplicated, foreign, misplaced, last = set(), 0, 0, 0, {}
    for _, _, event in read_topic(topic, read):
        # Another store's are not ours to count; what was ingested is.
        if event["source"].startswith("/admin_ext/") and event["source"] != f"/admin_ext/{store}":
            continue
        audit_id = event["auditid"]
        duplicated += audit_id in seen
        foreign += audit_id not in expected
        seen.add(audit_id)
        if "subject" in event and "sensitive.check" not in event["type"]:
            misplaced += last.get(event["subject"], 0) >= int(audit_id)
            last[event["subject"]] = int(audit_id)
    lost = len(set(expected) - seen)
    result = f"lost {lost}, duplicated {duplicated}, foreign {foreign}, out of order {misplaced}"
    ok(
        result == "lost 0, duplicated 0, foreign 0, out of order 0",
        f"{name}: the topic has each of {len(expected)} rows once, in order",
        result,
    )


def load_chain():
    """The Python reference of the delivery chain, without the package around it."""
    path = pathlib.Path(__file__).parents[2] / "clients/python/src/admin_client/evidence/chain.py"
    specification = importlib.util.spec_from_file_location("delivery_chain", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def numbered(store, topic, prefix):
    """Documents of a store by number, twice those that have one twice, and its seals in order of numbers."""
    documents, repeated, seals = {}, [], []
    for _, headers, value in read_topic(topic, bytes):
        document = value[prefix:]
        source = json.loads(document)["source"]
        if source.startswith("/admin_ext/") and source != f"/admin_ext/{store}":
            continue
        number = int(headers["admin-ext-number"])
        repeated += [number] if number in documents else []
        documents[number] = document
        if "admin-ext-seal" in headers:
            seals.append(json.loads(headers["admin-ext-seal"]))
    return (
        documents,
        repeated,
        sorted((seal for seal in seals if seal["store"] == store), key=lambda seal: seal["first"]),
    )


def wrong_links(store, documents, seals, since):
    """What does not fit in the seals behind a number, and the last number and the chain that the documents make."""
    reference, wrong, number = load_chain(), [], since
    chain = bytes.fromhex(seals[0]["previous"]) if since else reference.start(store, "kafka")
    for seal in seals:
        first, last = seal["first"], seal["last"]
        if (seal["v"], seal["sink"], first, seal["previous"]) != (1, "kafka", number + 1, chain.hex()):
            wrong.append(f"seal {first} does not follow {number}")
        batch = [documents.get(each, b"") for each in range(first, last + 1)]
        chain = reference.extend(chain, first, len(batch), reference.content_hash(batch))
        if seal["chain"] != chain.hex():
            wrong.append(f"seal {first} does not fit its documents")
        number = last
    return wrong, number, chain.hex()


def compare_chain(name, topic=TOPIC, prefix=0, host=None, since=0):
    """Numbers behind this one without a gap over all partitions, a seal for each transaction, and the chain that the database has; returns the seals."""
    store = sql("select store_id from admin.store", host=host)
    documents, repeated, seals = numbered(store, topic, prefix)
    seals = [seal for seal in seals if seal["first"] > since]
    wrong, last, chain = wrong_links(store, documents, seals, since)
    if differing := set(range(since + 1, last + 1)) ^ {number for number in documents if number > since}:
        wrong.append(f"numbers are missing, or in no transaction: {sorted(differing)[:5]}")
    ok(
        not wrong and not repeated,
        f"{name}: numbers up to {last} have no gap, and the chain of {len(seals)} transactions is right",
        f"{wrong[:3]} {repeated[:3]}",
    )
    wait(
        f"select last_number = {last} and encode(chain, 'hex') = '{chain}' from admin.delivery_chain('kafka')",
        f"{name}: the database has the same chain",
        host=host,
    )
    return seals


def create_extension():
    make_topic(TOPIC)
    sql("set client_min_messages = error; create extension admin_ext; select admin.create_audit_partitions()")
    sql(
        "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)"
        " select 'APP-00000' || n || '-k', 'pay', '{x}', 1, 'boss', '2040-01-01' from generate_series(1, 9) as n"
    )


def main(*tests):
    common.main(*tests, at_end=BROKER.stop)
