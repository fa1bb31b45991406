"""The whole path: the extension's own worker, the topic, the archiver."""

import json
import os
import random
import signal
import subprocess
import sys
import types

import harness
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from harness import BOOTSTRAP, SEED, sql

CHECK = (
    "select count(admin.sensitive_check('APP-' || lpad(i::text, 6, '0') || '-abcd')) from generate_series(1, {}) as i"
)


@pytest.fixture
def database(topic):
    """The extension with its Kafka worker, which delivers into the topic of this test."""
    sql(f"alter system set admin_ext.kafka_topic = '{topic}'")
    sql("select pg_reload_conf()")
    sql("set client_min_messages = error; create extension admin_ext")
    sql("select admin.create_audit_partitions()")
    yield
    sql("drop extension admin_ext")
    sql("drop function if exists admin.record_receipt")


def delivered():
    return (
        sql("select not exists (select from admin.audit_delivery where sink = 'kafka' and sink_status = 'pending')")
        == "t"
    )


def kill_worker():
    """The server restarts all its processes then."""
    pid = harness.poll(
        lambda: sql("select pid from admin.worker_status where sink = 'kafka' and pid is not null", check=False), 60
    )
    os.kill(int(pid), signal.SIGKILL)
    assert harness.poll(lambda: sql("select 1", check=False) == "1", 60)


def test_every_row_of_the_trail_is_in_the_archive_once_over_kills_of_worker_and_archiver(database, archiver, tmp_path):
    chance = random.Random(SEED)
    event = {"specversion": "1.0", "source": "/ff/eu", "type": "ptt.ff.used", "data": {"amount": 1}}
    for each in range(3):
        archiver.start("--roll-age", "1s")
        sql(CHECK.format(chance.randrange(20, 60)))
        sql(
            f"select admin.audit_ingest('{json.dumps([{**event, 'id': f'{each}-{number}', 'sequence': str(10 * each + number)} for number in range(5)])}')"
        )
        sql(CHECK.format(3))
        assert harness.poll(lambda: "sealed" in archiver.text(), 60), archiver.text()
        (kill_worker if each % 2 else archiver.kill)()
        archiver.kill()
    assert harness.poll(delivered, 60), sql("select * from admin.worker_status")
    archiver.run()
    store, last, chain = sql(
        "select store_id, last_number, encode(chain, 'hex') from admin.delivery_chain('kafka')"
    ).split("|")
    newest = json.loads(archiver.seals(store)[-1][1])
    assert (newest["last"], newest["chain_after"]) == (int(last), chain)
    documents = archiver.documents(store)
    archiver.check(types.SimpleNamespace(store=store, sink="kafka", ledger=documents))
    archived = sorted(int(json.loads(each)["auditid"]) for each in documents)
    assert archived == json.loads(sql("select json_agg(audit_id order by audit_id) from admin.audit"))
    assert archiver.foreign() == []
    status, said = verdict(archiver, tmp_path, "--dsn", f"postgresql://postgres@/postgres?host={os.environ['SCRATCH']}")
    assert status == 0 and f"that the database has recorded are those of store {store}" in said, said


def test_a_database_at_rest_does_not_fill_its_archive_with_its_receipts(database, archiver):
    """Each object has a receipt, each receipt is a document of the trail: alone it makes no other object."""
    archiver.start("--roll-age", "1s", "--dsn", f"postgresql://postgres@/postgres?host={os.environ['SCRATCH']}")
    for each in range(1, 4):
        sql(CHECK.format(5))
        assert harness.poll(
            lambda: sql("select count(*) from admin.archive_receipt where status = 'ok'") >= str(each), 60
        ), archiver.text()
    store = sql("select store_id from admin.store")
    receipt = "select admin.record_receipt(store_id, sink, last_number, chain, sha256('{}'), retain_until, location) from admin.archive_receipt order by received_at limit 1"
    for each in range(3):
        sql(receipt.format(each))
    assert harness.poll(
        lambda: (
            delivered()
            and sql(
                "select lag_rows = 0 and delivered_number > archived_number + 3 from admin.archive_status where is_present"
            )
            == "t"
        ),
        60,
    ), sql("select * from admin.archive_status")
    objects = len(archiver.seals(store))
    assert not harness.poll(lambda: len(archiver.seals(store)) > objects, 8), archiver.text()
    sql(CHECK.format(1))
    assert harness.poll(lambda: len(archiver.seals(store)) > objects, 60), archiver.text()
    archiver.stop()
    archiver.run()
    documents = archiver.documents(store)
    assert len(documents) == int(sql("select last_number from admin.delivery_chain('kafka')"))
    assert sum(b'"type":"ptt.admin.archive.receipt"' in each for each in documents) == int(
        sql("select count(*) from admin.audit where event_type = 'archive.receipt'")
    )


def lose_all_records(topic):
    """The topic drops every record that it holds, as retention does."""
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    ends = [TopicPartition(topic, partition, -1) for partition in range(3)]
    for future in admin.delete_records(ends).values():
        future.result(30)


def verdict(archiver, folder, *more):
    """What the verifier says of the bucket: its exit status and its text."""
    key = folder / "public.pem"
    key.write_bytes(archiver.get(f"audit/keys/{archiver.key_id()}.pem"))
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "admin_client.verify",
            "--archive",
            f"s3://{archiver.bucket}/audit",
            "--key",
            str(key),
            *more,
        ],
        env={**os.environ, "AWS_ENDPOINT_URL": archiver.endpoint},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return run.returncode, run.stdout + run.stderr


def test_numbers_that_the_topic_has_lost_are_archived_under_a_new_store(database, archiver, topic, tmp_path):
    """The procedure of doc/archive.md, "Numbers that the topic has lost"."""
    sql(CHECK.format(30))
    assert harness.poll(delivered, 60)
    archiver.run()
    old = sql("select store_id from admin.store")
    archived = int(sql("select last_number from admin.delivery_chain('kafka')"))
    sql(CHECK.format(20))
    assert harness.poll(delivered, 60)
    lost = int(sql("select last_number from admin.delivery_chain('kafka')"))
    lose_all_records(topic)
    sql(CHECK.format(10))
    assert harness.poll(delivered, 60)
    last = int(sql("select last_number from admin.delivery_chain('kafka')"))
    archiver.run(status=3)
    assert (
        f"the numbers {archived + 1} to {lost} are missing: number {lost + 1} is in partition" in archiver.text()
        and f"--accept-broken {old}:1" in archiver.text()
    ), archiver.text()
    status, said = verdict(archiver, tmp_path)
    assert (
        status == 1 and f"the archiver stopped behind number {archived} " in said and "nobody has accepted that" in said
    ), said
    sql("select admin.renew_store()")
    assert (
        sql(
            "select count(*) from admin.audit where event_type = 'row.updated' and payload ->> 'relation' = 'admin.store'"
        )
        == "1"
    )
    sql("select admin.resync_sink('kafka', 1)")
    assert harness.poll(delivered, 60), sql("select * from admin.worker_status")
    new = sql("select store_id from admin.store")
    archiver.run(status=3)
    assert new != old and sorted(int(json.loads(each)["auditid"]) for each in archiver.documents(new)) == json.loads(
        sql("select json_agg(audit_id order by audit_id) from admin.audit")
    )
    lose_all_records(topic)
    archiver.run("--accept-broken", f"{old}:1").run()
    status, said = verdict(archiver, tmp_path)
    assert "an operator accepted that" in said and "nobody has accepted that" not in said, said
    assert (
        status == 1
        and f"store {new} says that it continues store {old} at number {last}, but the last number here is {archived}"
        in said
    ), said
