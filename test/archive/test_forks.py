"""A second record of a number that the archive has: it is kept, it stops the stream, and no restart forgets that."""

import json

import pytest
from harness import BOOTSTRAP, Archiver, client, make_topic
from producer import Worker, document, plain
from proxy import Proxy

NUMBER = "admin-ext-number"


def forged(worker, number):
    """Another document under a number of the store."""
    return document(worker.store, number).replace(b"APP-", b"ANY-")


def forge(topic, worker, number, partition=1, body=None):
    plain(BOOTSTRAP, topic, [(partition, b"k", body or forged(worker, number), [(NUMBER, str(number).encode())])])


def stops(archiver, worker):
    return archiver.keys(rf"audit/claims/{worker.store}/stopped-.*")


def values(archiver):
    return sorted(each["value"] for each in archiver.foreign())


def in_partition(worker, partition):
    """All that it writes goes there."""
    worker.random.randrange = lambda count: partition
    return worker


def test_a_restart_does_not_forget_that_a_stream_has_stopped(archiver, topic, worker):
    worker.batches(2)
    archiver.run()
    forge(topic, worker, 5)
    archiver.run(status=3)
    worker.batches(1)
    archiver.run(status=3)
    assert (
        "number 5 comes a second time, in partition 1" in archiver.text()
        and f"--accept-broken {worker.store}:1" in archiver.text()
    )
    assert json.loads(archiver.seals(worker.store)[-1][1])["last"] == 40
    assert values(archiver) == [forged(worker, 5)]
    [key] = stops(archiver, worker)
    stop = json.loads(archiver.get(key))
    assert (stop["store"], stop["stop"], stop["last"]) == (
        worker.store,
        1,
        40,
    ) and "number 5 comes a second time" in stop["reason"]
    assert stop["record"] == {"topic": topic, "number": 5, "partition": 1, "offset": archiver.foreign()[0]["offset"]}
    archiver.check_locks()


def test_a_stream_goes_on_once_an_operator_accepts_its_stop_and_the_archive_says_so(archiver, topic, worker):
    worker.batches(2)
    archiver.run()
    forge(topic, worker, 5)
    worker.batches(1)
    archiver.run(status=3)
    worker.batches(1)
    archiver.run("--accept-broken", f"{worker.store}:1").check(worker).check_locks()
    assert [key.rsplit("/", 1)[1] for key in stops(archiver, worker)] == [
        "stopped-000001.accepted.json",
        "stopped-000001.json",
    ]
    forge(topic, worker, 7)
    archiver.run("--accept-broken", f"{worker.store}:1", status=3)  # it was for the first stop alone
    archiver.run("--accept-broken", f"{worker.store}:3", status=1)
    assert "has no stop 3 that could be accepted" in archiver.text()
    worker.batches(1)
    archiver.run("--accept-broken", f"{worker.store}:2").run("--group", "another").check(worker)
    assert values(archiver) == [forged(worker, 5), forged(worker, 7)]


@pytest.mark.parametrize("body", ["same", "another"])
def test_a_second_record_that_comes_while_the_archiver_is_away_stops_the_stream(archiver, topic, worker, body):
    """Also in a partition of which the newest seal has nothing."""
    in_partition(worker, 0).batches(2)
    archiver.run()
    second = worker.ledger[4] if body == "same" else forged(worker, 5)
    forge(topic, worker, 5, body=second)
    archiver.run(status=3).check(worker)
    assert "number 5 comes a second time, in partition 1 at offset 0" in archiver.text() and values(archiver) == [
        second
    ]


def test_a_whole_fork_that_comes_while_the_archiver_is_away_is_kept_and_stops_the_stream(archiver, topic, worker):
    in_partition(worker, 0).batches(2)
    archiver.run()
    fork = in_partition(Worker(BOOTSTRAP, topic, 3, store=worker.store), 2)
    fork.batch([forged(worker, number) for number in range(1, 21)])
    archiver.run(status=3).check(worker)
    assert values(archiver) == sorted(fork.ledger)
    archiver.run("--accept-broken", f"{worker.store}:1").run("--group", "another").check(worker)
    assert values(archiver) == sorted(fork.ledger)


@pytest.mark.parametrize("attack", ["delete marker", "overwritten", "forged acceptance"])
def test_whoever_writes_to_the_bucket_cannot_take_a_stop_back(archiver, topic, worker, attack):
    worker.batches(1)
    archiver.run()
    forge(topic, worker, 5)
    archiver.run(status=3)
    [key] = stops(archiver, worker)
    if attack == "delete marker":
        client().delete_object(Bucket=archiver.bucket, Key=key)
    else:
        name = key if attack == "overwritten" else key.replace(".json", ".accepted.json")
        client().put_object(
            Bucket=archiver.bucket,
            Key=name,
            Body=json.dumps({**json.loads(archiver.get(key)), "accepted_at": "now"}).encode(),
        )
    worker.batches(1)
    archiver.run(status=3)
    assert len(archiver.seals(worker.store)) == 1


def test_honest_records_that_are_read_again_stop_nothing(archiver, topic, worker):
    """By another group the offsets are lost: the same records come at the offsets that they had."""
    other = Worker(BOOTSTRAP, topic, 3)
    for _ in range(5):
        worker.batches(2, size=7)
        in_partition(other, 1).batches(1, size=3)
        archiver.run("--roll-size", "2kB")
    in_partition(worker, 2).batches(1, size=3)
    for group in ("lost", "again", "admin_ext_archive"):
        archiver.run("--group", group).check(worker).check(other)
    assert archiver.foreign() == [] and len(archiver.seals(worker.store)) > 5


def test_a_copy_of_the_topic_under_another_name_is_compared_by_its_documents(archiver, worker, tmp_path):
    in_partition(worker, 0).batches(2)
    archiver.run()
    copy, seals = make_topic(), archiver.seals(worker.store)
    twin = in_partition(Worker(BOOTSTRAP, copy, 3, store=worker.store), 1)
    twin.batch(worker.ledger[:20])
    twin.batch(worker.ledger[20:])
    moved = Archiver(tmp_path, copy, archiver.bucket)
    moved.run()
    assert moved.seals(worker.store) == seals and moved.foreign() == []
    twin.batches(1)
    moved.run().check(twin)
    forge(copy, worker, 5, partition=2)
    moved.run(status=3)


def test_a_start_reads_no_object_of_the_archive_also_beside_a_stream_that_has_stopped(tmp_path, topic, worker):
    proxy = Proxy()
    try:
        archiver = Archiver(tmp_path, topic, endpoint=proxy.endpoint)
        other = Worker(BOOTSTRAP, topic, 3)
        other.batches(1)
        archiver.run()
        forge(topic, other, 5)
        archiver.run(status=3)
        worker.batches(5)
        archiver.run("--roll-size", "2kB", status=3)
        proxy.seen.clear()
        archiver.run(status=3).check(worker)
        assert not [path for method, path in proxy.seen if method == "GET" and ".ndjson.zst" in path.split("?")[0]]
    finally:
        proxy.close()
