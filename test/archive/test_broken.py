"""What does not fit stops its stream, never another one, and is never archived over."""

import json
import socket
import urllib.request

import pytest
from harness import BOOTSTRAP, client
from producer import Worker, document, plain

NUMBER, SEAL = "admin-ext-number", "admin-ext-seal"


def archive_with_another(archiver, topic, worker, words, *arguments):
    """Runs it over a broken stream and a good one; only what came before the fault is archived of the broken one."""
    other = Worker(BOOTSTRAP, topic, 3)
    other.batches(3)
    archiver.run(*arguments, status=3).check(other)
    assert words in archiver.text(), archiver.text()
    archiver.run(*arguments, status=3).check(other)  # nor does the next run go over it
    seals = archiver.seals(worker.store)
    del worker.ledger[json.loads(seals[-1][1])["last"] if seals else 0 :]
    archiver.check(worker)


def test_a_missing_number_stops_the_stream_before_it(archiver, topic, worker):
    worker.batches(2)
    worker.batch([document(worker.store, number) for number in range(3)], skip=[42])
    worker.batches(2)
    archive_with_another(archiver, topic, worker, "number 42 is missing: number 43 is in partition")
    assert worker.ledger and len(worker.ledger) == 40


def test_a_missing_batch_stops_the_stream(archiver, topic, worker):
    worker.batches(1)
    worker.batch([document(worker.store, number) for number in range(5)], skip=range(21, 26))
    worker.batches(1)
    archive_with_another(archiver, topic, worker, "the numbers 21 to 25 are missing: number 26 is in partition")


def test_a_stream_that_does_not_begin_with_number_1_is_not_archived(archiver, topic, worker):
    worker.batch([document(worker.store, number) for number in range(5)], skip=range(1, 6))
    worker.batches(1)
    archive_with_another(archiver, topic, worker, "the numbers 1 to 5 are missing")


def test_a_document_that_was_changed_breaks_the_chain(archiver, topic, worker):
    worker.batches(1)
    honest = worker.wire
    worker.wire = lambda body: body.replace(b'"APP-22-test"', b'"APP-99-test"')
    worker.batches(1)
    worker.wire = honest
    archive_with_another(archiver, topic, worker, "the chain of the batch 21 to 40 does not fit its documents")


def test_a_batch_without_a_seal_stops_the_stream(archiver, topic, worker):
    worker.batches(1)
    worker.batches(1, seal=False)
    worker.batches(1)
    archive_with_another(archiver, topic, worker, "the batch before number 41 has no seal")


def test_a_last_batch_without_a_seal_stops_the_stream(archiver, topic, worker):
    worker.batches(1)
    worker.batches(1, seal=False)
    archive_with_another(archiver, topic, worker, "the numbers 21 to 40 are there, and no seal is")


@pytest.mark.parametrize("body", ["same", "another"])
def test_a_second_record_of_a_number_stops_the_stream(archiver, topic, worker, body):
    worker.batches(2)
    again = worker.ledger[4] if body == "same" else document(worker.store, 999)
    plain(BOOTSTRAP, topic, [(0, b"k", again, [(NUMBER, b"5")])])
    other = Worker(BOOTSTRAP, topic, 3)
    other.batches(1)
    archiver.run(status=3).check(other)
    assert "number 5 comes a second time, in partition" in archiver.text()


def test_a_forged_seal_of_a_running_store_stops_its_stream(archiver, topic, worker):
    worker.batches(2)
    after = bytes(32)
    plain(
        BOOTSTRAP, topic, [(1, b"k", document(worker.store, 41), [(NUMBER, b"41"), (SEAL, worker.seal(41, 41, after))])]
    )
    archive_with_another(archiver, topic, worker, "the chain of the batch 41 to 41 does not fit its documents")


def test_a_batch_of_another_chain_stops_the_stream(archiver, topic, worker):
    worker.batches(1)
    worker.chain = bytes(32)
    worker.batches(1)
    archive_with_another(archiver, topic, worker, "the chain before the batch 21 to 40 is not the one after number 20")


def test_a_broken_stream_is_a_metric_while_others_go_on(archiver, topic, worker):

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker.batches(1)
    worker.batches(1, skip=[25])
    archiver.start("--roll-age", "1s", "--metrics-port", str(port))
    archiver.expect("the stream has stopped after number 20")
    other = Worker(BOOTSTRAP, topic, 3)
    other.batches(1)
    archiver.expect(f"store {other.store}: sealed 1 to 20")
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    assert f'admin_ext_archive_stream_broken{{store="{worker.store}"}} 1.0' in metrics
    assert f'admin_ext_archive_documents_total{{store="{other.store}"}} 20.0' in metrics
    archiver.stop(status=3).check(other)


@pytest.mark.parametrize("attack", ["delete marker", "overwritten", "foreign signature"])
def test_a_newest_seal_that_was_tampered_with_stops_the_stream(archiver, topic, worker, attack):
    worker.batches(1)
    archiver.run()
    [(key, content)] = archiver.seals(worker.store)
    if attack == "delete marker":
        client().delete_object(Bucket=archiver.bucket, Key=key)
        words = "was overwritten or hidden"
    elif attack == "overwritten":
        client().put_object(Bucket=archiver.bucket, Key=key, Body=content)
        words = "was overwritten or hidden"
    else:
        forged = json.dumps({**json.loads(content), "first": 21, "last": 21}).encode()
        client().put_object(Bucket=archiver.bucket, Key=key.replace("00001-20", "00021-21"), Body=forged)
        words = "is not signed by a key that is published in the archive"
    before = archiver.versions(f"audit/{worker.store}/")
    worker.batches(1)
    archiver.run(status=3)
    assert words in archiver.text() and archiver.versions(f"audit/{worker.store}/") == before


def test_an_object_under_the_next_name_with_other_documents_stops_the_stream(archiver, worker):
    worker.batches(1)
    archiver.run()
    [(key, _)] = archiver.seals(worker.store)
    stored = archiver.get(key.replace("seal.json", "ndjson.zst"))
    client().put_object(
        Bucket=archiver.bucket, Key=f"audit/{worker.store}/00000000000000000021-40.ndjson.zst", Body=stored
    )
    worker.batches(1)
    archiver.run(status=3)
    assert "is there already, and holds other documents than the topic" in archiver.text()
    assert len(archiver.seals(worker.store)) == 1
