"""What the archiver leaves of a topic: every document once, in order, sealed and locked."""

import json

import harness
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from harness import BOOTSTRAP
from producer import Worker, document, plain


def test_every_document_is_archived_once_and_locked_for_seven_years(archiver, worker):
    worker.batches(3)
    worker.abort()
    worker.batches(3)
    archiver.run().check(worker).check_locks()


def test_objects_end_at_batches_by_size_and_the_next_run_goes_on_behind_them(archiver, worker):
    worker.batches(6)
    archiver.run("--roll-size", "10kB").check(worker)
    assert len(archiver.seals(worker.store)) > 1
    worker.batches(1)
    archiver.run().check(worker)
    assert json.loads(archiver.seals(worker.store)[-1][1])["first"] == 121


def test_objects_end_by_age_while_the_archiver_runs_and_it_ends_within_seconds(archiver, worker):
    archiver.start("--roll-age", "1s")
    worker.batches(1)
    archiver.expect("sealed 1 to 20")
    worker.batches(1)
    archiver.expect("sealed 21 to 40")
    archiver.stop().check(worker)


def test_a_registry_prefix_is_stripped_and_its_schema_is_in_the_seal(archiver, worker):
    worker.schema_id = 7
    worker.batches(2)
    worker.schema_id = 70000
    worker.batches(1)
    archiver.run().check(worker)
    assert [json.loads(content)["schema_id"] for _, content in archiver.seals(worker.store)] == [7, 70000]


@pytest.mark.parametrize("names_store", [False, True])
def test_ingested_events_of_two_stores_in_one_topic_find_their_store(archiver, topic, worker, names_store):
    other = Worker(BOOTSTRAP, topic, 3)
    for number in range(1, 30, 3):
        for each in (worker, other):
            each.batch(
                [
                    document(each.store, number),
                    document(each.store, f"{each.store}-{number}", source="/ff/eu"),
                    document(each.store, number + 2),
                ],
                names_store=names_store,
            )
    archiver.run("--roll-size", "2kB").check(worker).check(other)
    assert archiver.foreign() == []


def test_an_ingested_event_that_is_read_again_is_not_foreign_and_a_forged_one_is(archiver, topic, worker):
    """Without a hint everything is read again."""
    for number in range(3):
        worker.batch([document(worker.store, number), document(worker.store, f"{number}-in", source="/ff/eu")])
    plain(
        BOOTSTRAP,
        topic,
        [(each, b"k", document("", "forged", source="/ff/eu"), [("admin-ext-number", b"2")]) for each in range(3)],
    )
    worker.batches(1)
    archiver.run()
    assert len(archiver.foreign()) == 3
    archiver.run("--group", "another").check(worker)
    assert [each["value"] for each in archiver.foreign()] == [document("", "forged", source="/ff/eu")] * 3


def test_a_store_that_continues_another_one_says_so_in_its_first_seal_only(archiver, topic, worker):
    worker.batches(2)
    before = {"store": worker.store, "last": worker.number, "chain": worker.chain.hex()}
    new = Worker(BOOTSTRAP, topic, 3)
    new.batches(1, continues=before)
    new.batches(2)
    archiver.run("--roll-size", "4kB").check(worker).check(new)
    seals = [json.loads(content) for _, content in archiver.seals(new.store)]
    assert len(seals) > 1 and [each.get("continues") for each in seals] == [before] + [None] * (len(seals) - 1)
    assert all("continues" not in json.loads(content) for _, content in archiver.seals(worker.store))


def test_foreign_and_malformed_records_and_tombstones_are_kept_once_as_they_are(archiver, topic, worker):
    number = ("admin-ext-number", b"1")
    records = [
        (0, b"key", b"\x00\xff not ours", [("h", b"\x01"), ("h", None)]),
        (1, None, None, []),
        (1, b"tombstone", None, [number]),
        (2, b"k", b"{}", [("admin-ext-number", b"01")]),
        (2, b"k", b"[]", [number]),
        (0, b"k", b"{\n}", [number]),
        (1, b"k", b'{"source":"/ff"}', [("admin-ext-number", b"9999")]),
        (1, b"k", b"{}", [number, ("admin-ext-seal", b'{"v":2}')]),
        (1, b"", b"", []),
    ]
    plain(BOOTSTRAP, topic, records[:5])
    worker.batches(2)
    archiver.run().check(worker)
    plain(BOOTSTRAP, topic, records[5:])
    worker.batches(1)
    archiver.run().run().check(worker)
    found = [(each["partition"], each["key"], each["value"], each["headers"]) for each in archiver.foreign()]
    assert sorted(map(repr, found)) == sorted(map(repr, records))
    assert all(each["topic"] == topic and each["offset"] >= 0 and each["timestamp"] for each in archiver.foreign())
    archiver.check_locks()


def test_a_topic_without_any_store_is_read_once(archiver, topic):
    plain(BOOTSTRAP, topic, [(0, b"k", b"v", [])])
    archiver.run()
    plain(BOOTSTRAP, topic, [(0, b"k", b"w", [])])
    archiver.run()
    assert [each["value"] for each in archiver.foreign()] == [b"v", b"w"]


def test_a_document_of_64_megabytes_is_archived(archiver, worker):
    worker.batch([document(worker.store, 1), document(worker.store, 2, size=64 << 20), document(worker.store, 3)])
    archiver.run(timeout=300).check(worker)


def test_after_a_change_of_the_key_old_seals_stay_verifiable(archiver, worker, tmp_path):
    worker.batches(1)
    archiver.run()
    old = archiver.key_id()
    successor = harness.Archiver(tmp_path, archiver.topic, archiver.bucket)
    worker.batches(1)
    successor.run().check(worker)
    assert [json.loads(content)["key_id"] for _, content in archiver.seals(worker.store)] == [old, successor.key_id()]


def test_offsets_that_somebody_else_has_committed_are_no_hint(archiver, topic, worker):
    worker.batches(2)
    forger = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": "admin_ext_archive"})
    forger.commit(offsets=[TopicPartition(topic, each, 20) for each in range(3)], asynchronous=False)
    forger.close()
    archiver.run().check(worker)
    assert "from 0:0, 1:0, 2:0" in archiver.text()


def test_foreign_records_before_a_seal_are_archived_though_the_committed_offsets_are_lost(archiver, topic, worker):
    """They still waited for their object when the stream was sealed."""
    plain(BOOTSTRAP, topic, [(each, b"k", b"foreign", []) for each in range(3)])
    worker.batches(2)
    archiver.start("--roll-size", "3kB", "--roll-age", "1h")
    archiver.expect("sealed 1 to")
    archiver.kill()
    archiver.run("--group", "another").check(worker)
    assert [each["value"] for each in archiver.foreign()] == [b"foreign"] * 3


def test_an_archive_goes_on_behind_a_hundred_objects_without_listing_them(archiver, worker):
    for _ in range(40):
        worker.batches(1, size=1)
    archiver.run("--roll-size", "1kB").run("--roll-size", "1kB")
    worker.batches(1, size=1)
    archiver.run().check(worker)


def test_a_partition_that_is_added_is_read(archiver, topic, worker):
    archiver.start("--roll-age", "1s")
    worker.batches(1)
    archiver.expect("sealed 1 to 20")
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    admin.create_partitions([NewPartitions(topic, 4)])[topic].result(30)
    assert harness.poll(lambda: len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 4, 60)
    worker.partitions = 4
    worker.producer.list_topics(topic, timeout=10)
    worker.batches(1)
    archiver.expect("sealed 21 to 40")
    archiver.stop().check(worker)
