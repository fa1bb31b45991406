"""Kill -9, storage that fails in every way it can, buckets that do not keep what they promise."""

import datetime
import email.utils
import json
import os
import random
import signal
import subprocess
import time

import harness
import pytest
from harness import BOOTSTRAP, SEED, Archiver, make_bucket
from producer import plain
from proxy import Proxy, lose_answer, refuse, say_yes, slow, with_headers, without_lock

ROUNDS = int(os.environ.get("ARCHIVE_ROUNDS", "6"))
QUICK = ("--roll-age", "1s")


@pytest.fixture
def proxy():
    made = Proxy()
    yield made
    made.close()


@pytest.fixture
def faulty(tmp_path, topic, proxy):
    """An archiver whose storage is behind the proxy."""
    made = Archiver(tmp_path, topic, endpoint=proxy.endpoint)
    yield made
    made.kill()


def test_killed_at_random_it_archives_everything_once(archiver, topic, worker):
    chance = random.Random(SEED)
    for _ in range(ROUNDS):
        archiver.start("--roll-size", "6kB", "--roll-age", "1s")
        worker.batches(chance.randrange(1, 4))
        plain(BOOTSTRAP, topic, [(chance.randrange(3), b"k", b"foreign", [])])
        time.sleep(chance.uniform(0.8, 3.5))  # the instant of the kill, not a synchronisation
        archiver.kill()
    archiver.run().run().check(worker)
    assert [each["value"] for each in archiver.foreign()] == [b"foreign"] * ROUNDS


@pytest.mark.parametrize("step", ["/claims/", ".ndjson.zst", ".seal.json", "HEAD .seal.json"])
def test_killed_between_two_steps_the_next_run_completes_what_is_there(faulty, proxy, worker, step):
    """The next run would roll elsewhere, had the first one not said where its object ends."""
    method, _, part = step.rpartition(" ")
    worker.batches(3)
    proxy.fault = lambda this, path: (
        slow(600)
        if this == (method or "HEAD") and part in path and (this != "HEAD" or method or "probe" not in path)
        else None
    )
    faulty.start(*QUICK)
    assert harness.poll(lambda: proxy.count, 60), faulty.text()
    faulty.kill()
    proxy.fault = lambda method, path: None
    worker.batches(3)
    faulty.run().check(worker)


def test_the_object_store_is_killed_and_comes_back(archiver, worker):
    archiver.start(*QUICK)
    worker.batches(1)
    archiver.expect("sealed 1 to 20")
    folder = os.environ["S3_DIR"]
    os.kill(int(open(f"{folder}/pid").read()), signal.SIGKILL)
    worker.batches(2)
    archiver.expect("the archiver retries")
    store = subprocess.Popen([f"{folder}/start"])
    try:
        archiver.expect("sealed 21 to 60")
    finally:
        assert store.poll() is None
    archiver.stop().check(worker)


def test_the_broker_is_paused_and_the_archiver_goes_on_or_ends(archiver, worker):
    broker = int(os.environ["KAFKA_PID"])
    archiver.start(*QUICK)
    worker.batches(1)
    archiver.expect("sealed 1 to 20")
    os.kill(broker, signal.SIGSTOP)
    try:
        archiver.stop()
        archiver.start(*QUICK)
        archiver.expect("looking where to read on")
    finally:
        os.kill(broker, signal.SIGCONT)
    worker.batches(1)
    archiver.expect("sealed 21 to 40")
    archiver.stop().check(worker)


def test_a_second_archiver_stops_and_nothing_is_archived_twice(archiver, topic, worker, tmp_path):
    second = Archiver(tmp_path, topic, archiver.bucket)
    archiver.start("--roll-age", "1s")
    second.start("--roll-age", "1.5s", "--group", "another")
    try:
        for _ in range(20):
            worker.batches(1)
            ended = [each for each in (archiver, second) if each.process.poll() is not None]
            if ended:
                break
            time.sleep(0.4)  # a load that goes on for a while
        assert harness.poll(lambda: any(each.process.poll() is not None for each in (archiver, second)), 60)
        [ended] = [each for each in (archiver, second) if each.process.poll() is not None]
        assert ended.process.returncode == 4 and "another archiver" in ended.text(), ended.text()
    finally:
        archiver.kill()
        second.kill()
    archiver.run().check(worker)


@pytest.mark.parametrize(
    "fault",
    [
        (503, "SlowDown"),
        (500, "InternalError"),
        (409, "ConditionalRequestConflict"),
        (507, "InsufficientStorage"),
        (403, "QuotaExceeded"),
        (400, "InvalidRequest"),
    ],
)
def test_an_answer_that_is_no_yes_is_asked_for_again(faulty, proxy, worker, fault):
    worker.batches(2)
    faulty.start(*QUICK, "--until-end")
    proxy.fault = lambda method, path: (
        refuse(*fault) if method == "PUT" and worker.store in path and proxy.count < 3 else None
    )
    faulty.wait().check(worker)
    assert proxy.count == 3 and "the archiver retries" in faulty.text()


@pytest.mark.parametrize("part", ["/claims/", ".ndjson.zst", ".seal.json"])
def test_a_lost_answer_of_a_put_is_recognised_by_what_is_there(faulty, proxy, worker, part):
    worker.batches(2)
    proxy.on("PUT", part, lose_answer)
    faulty.run().check(worker)
    assert proxy.count == 1


def test_a_wrong_checksum_in_an_answer_is_noticed_and_the_bytes_are_read_back(faulty, proxy, worker):
    worker.batches(1)
    proxy.on("PUT", ".ndjson.zst", with_headers(x_amz_checksum_sha256="A" * 43 + "="))
    faulty.run().check(worker)
    assert any(method == "GET" and ".ndjson.zst" in path for method, path in proxy.seen)


def test_a_date_that_is_none_is_asked_for_again(faulty, proxy, worker):
    worker.batches(1)
    proxy.on("HEAD", ".ndjson.zst", with_headers(x_amz_object_lock_retain_until_date="some day"))
    faulty.run().check(worker)
    assert proxy.count == 1 and "the archiver retries" in faulty.text()


def test_a_storage_that_drops_the_lock_stops_the_archiver(faulty, proxy, worker):
    worker.batches(1)
    proxy.on("PUT", ".ndjson.zst", without_lock)
    faulty.run(status=5)
    assert "does not say that it is locked so" in faulty.text() and not faulty.seals(worker.store)


def test_a_storage_that_is_slow_loses_nothing(faulty, proxy, worker):
    worker.batches(2)
    proxy.fault = lambda method, path: slow(0.3) if method == "PUT" else None
    faulty.run().check(worker)


def test_a_clock_that_is_years_off_writes_nothing(faulty, proxy, worker):
    worker.batches(1)
    date = email.utils.format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=800), usegmt=True)
    proxy.fault = lambda method, path: with_headers(Date=date)
    faulty.start(*QUICK)
    faulty.expect("the clock of this machine says")
    faulty.stop()
    assert faulty.versions() == []


def test_the_archiver_ends_within_seconds_while_the_storage_is_away(faulty, proxy, worker):
    worker.batches(1)
    proxy.fault = lambda method, path: slow(600) if worker.store in path and method == "PUT" else None
    faulty.start(*QUICK)
    assert harness.poll(lambda: proxy.count, 60), faulty.text()
    started = time.monotonic()
    faulty.stop()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("kind", ["no lock", "no bucket", "ignores locks", "overwrites", "shortens", "deletes"])
def test_a_bucket_that_would_not_keep_an_archive_is_refused(faulty, proxy, worker, kind):
    worker.batches(1)
    words = {
        "no lock": "has no",
        "no bucket": "it does not exist",
        "ignores locks": "does not say that it is locked",
        "overwrites": "overwrites objects",
        "shortens": "the retention of a locked object be shortened",
        "deletes": "lets a locked object be deleted",
    }[kind]
    if kind == "no lock":
        faulty.bucket = make_bucket(lock=False)
    elif kind == "no bucket":
        faulty.bucket = "there-is-none"
    elif kind == "ignores locks":
        proxy.fault = lambda method, path: without_lock if method == "PUT" else None
    elif kind == "overwrites":

        def second():
            return [path for method, path in proxy.seen if method == "PUT" and "/probe/" in path]

        proxy.fault = lambda method, path: (
            say_yes if method == "PUT" and "/probe/" in path and len(second()) > 1 else None
        )
    elif kind == "shortens":
        soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        proxy.fault = lambda method, path: (
            with_headers(x_amz_object_lock_retain_until_date=soon)
            if method == "HEAD" and any("retention" in each for _, each in proxy.seen)
            else None
        )
    else:
        proxy.fault = lambda method, path: say_yes if method == "DELETE" else None
    faulty.run(status=1)
    assert words in faulty.text(), faulty.text()
    assert kind == "no bucket" or not faulty.seals(worker.store)


def test_an_answer_that_is_no_xml_is_asked_for_again(faulty, proxy, worker):
    def nonsense(handler, body):
        del body
        handler.answer(200, {"Content-Type": "application/xml"}, b"<html>not what it was asked")

    worker.batches(1)
    proxy.on("GET", "versions", nonsense)
    faulty.run().check(worker)
    assert proxy.count == 1


def test_without_credentials_the_archiver_says_so(archiver, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    archiver.run(status=1)
    assert "Unable to locate credentials" in archiver.text()


def test_a_bucket_whose_versioning_is_off_is_refused(faulty, proxy):
    def suspended(handler, body):
        handler.answer(
            200,
            {"Content-Type": "application/xml"},
            b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
        )

    proxy.fault = lambda method, path: suspended if method == "GET" and "versioning" in path else None
    faulty.run(status=1)
    assert "has no versioning" in faulty.text()


def test_keys_of_somebody_else_in_a_folder_of_the_archive_do_not_hold_the_archiver_up(archiver, worker):
    """As the object store lists them: names that look like those of objects, folders, and several versions of one name."""
    worker.batches(2)
    archiver.run()
    folder, s3 = f"audit/{worker.store}/", harness.client()
    names = [
        *(
            f"{number:020d}{ending}"
            for number in (1, 2, 30, 41, 99)
            for ending in ("", "-x.ndjson.zst", "-9.ndjson.zst.part", "-dir/00000000000000000001-2.seal.json")
        ),
        "z",
        "0",
        "9" * 30,
    ]
    for each in [*names, *["z"] * 30]:
        s3.put_object(Bucket=archiver.bucket, Key=folder + each, Body=b"x")
    s3.delete_object(Bucket=archiver.bucket, Key=f"{folder}z")
    worker.batches(2)
    archiver.run(timeout=60)
    assert [json.loads(content)["first"] for key, content in archiver.seals(worker.store) if key.count("/") == 2] == [
        1,
        41,
    ]
