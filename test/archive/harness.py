"""What the tests of the archiver share: topics, buckets, the archiver's process, and reading an archive back."""

import base64
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import uuid

import boto3
import botocore.config
import zstandard
from admin_client.archive import keys
from admin_client.archive.durations import Retention
from admin_client.archive.storage import now
from admin_client.evidence import chain, merkle, seal
from confluent_kafka.admin import AdminClient, NewTopic
from tap import poll

BOOTSTRAP, ENDPOINT = os.environ["KAFKA_BOOTSTRAP"], os.environ["S3_ENDPOINT"]
SEED = int(os.environ.get("SEED", "21"))


def sql(command, check=True, database="postgres"):
    """What psql prints, unaligned."""
    run = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if check and run.returncode != 0:
        raise RuntimeError(run.stderr)
    return run.stdout.strip()


def client(endpoint=ENDPOINT):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        config=botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
    )


def make_topic(partitions=3, **config):
    name = f"ptt.audit.{uuid.uuid4().hex[:12]}"
    settings = {"max.message.bytes": "80000000", **config}
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    for future in admin.create_topics([NewTopic(name, partitions, 1, config=settings)]).values():
        future.result(30)
    return name


def make_bucket(lock=True):
    name = f"audit-{uuid.uuid4().hex[:12]}"
    client().create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if lock else {}))
    return name


def decoded(text):
    """What an archived foreign record holds; None stays None."""
    return None if text is None else base64.b64decode(text)


class Archiver:
    """The archiver as a process of its own, and what it has left in its bucket."""

    def __init__(self, folder: pathlib.Path, topic, bucket=None, endpoint=ENDPOINT):
        self.folder, self.topic, self.bucket, self.endpoint = folder, topic, bucket or make_bucket(), endpoint
        self.key = folder / f"{uuid.uuid4().hex}.key"
        keys.generate(self.key)
        self.log = folder / f"{uuid.uuid4().hex}.log"
        self.process, self.environment = None, {}

    def command(self, *arguments):
        return [
            sys.executable,
            "-m",
            "admin_client.archive",
            "--brokers",
            BOOTSTRAP,
            "--topic",
            self.topic,
            "--bucket",
            self.bucket,
            "--key",
            str(self.key),
            "--endpoint-url",
            self.endpoint,
            *arguments,
        ]

    def start(self, *arguments):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command(*arguments), stderr=log, stdout=log, env={**os.environ, **self.environment}
            )
        return self

    def run(self, *arguments, status=0, timeout=120):
        """Archives what is there, and ends."""
        self.start("--until-end", *arguments)
        return self.wait(status, timeout)

    def wait(self, status=0, timeout=120):
        try:
            found = self.process.wait(timeout)
        finally:
            self.kill()
        assert found == status, self.text()
        return self

    def stop(self, status=0):
        self.process.send_signal(signal.SIGTERM)
        return self.wait(status, 20)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def text(self):
        return self.log.read_text()

    def expect(self, words, seconds=60):
        assert poll(lambda: words in self.text(), seconds), self.text()

    def key_id(self):
        return seal.key_id(keys.load(self.key).public_key().public_bytes_raw())

    # What is in the bucket.

    def versions(self, prefix="audit/"):
        """Every version of every object, as (key, version id, is a delete marker)."""
        found = []
        for page in client().get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
            found += [(each["Key"], each["VersionId"], False) for each in page.get("Versions", ())]
            found += [(each["Key"], each["VersionId"], True) for each in page.get("DeleteMarkers", ())]
        return sorted(found)

    def get(self, key):
        return client().get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self, pattern):
        return [key for key, _, is_marker in self.versions() if re.fullmatch(pattern, key) and not is_marker]

    def seals(self, store):
        """The seals of a store, in order, as (key, bytes)."""
        return [(key, self.get(key)) for key in self.keys(rf"audit/{store}/.*\.seal\.json")]

    def documents(self, store):
        """All documents of a store, in order."""
        return [
            line for key in self.keys(rf"audit/{store}/.*\.ndjson\.zst") for line in unpack(self.get(key)).splitlines()
        ]

    def foreign(self):
        """All foreign records, with what is in them decoded."""
        found = []
        for key in self.keys(rf"audit/foreign/{re.escape(self.topic)}/.*"):
            for line in unpack(self.get(key)).splitlines():
                record = json.loads(line)
                found.append(
                    {
                        **record,
                        "key": decoded(record["key"]),
                        "value": decoded(record["value"]),
                        "headers": [(name, decoded(value)) for name, value in record["headers"]],
                    }
                )
        return found

    def check(self, worker):
        """An auditor's look, written from doc/evidence.md: every document of the ledger once, in order, sealed and locked."""
        documents, before, previous, following = [], chain.start(worker.store, worker.sink), None, 1
        versions = self.versions(f"audit/{worker.store}/")
        assert len({key for key, _, _ in versions}) == len(versions), "an object has two versions"
        for key, content in self.seals(worker.store):
            found = json.loads(content)
            public = keys.public_bytes(self.get(f"audit/keys/{found['key_id']}.pem"))
            assert seal.is_signed_by(found, public) and seal.key_id(public) == found["key_id"]
            assert (
                found["first"] == following
                and found["previous_seal_sha256"] == previous
                and found["chain_before"] == before.hex()
            )
            stored = self.get(found["object"])
            assert found["object"] == f"{key.removesuffix('.seal.json')}.ndjson.zst"
            assert (hashlib.sha256(stored).hexdigest(), len(stored)) == (found["sha256"], found["bytes"])
            lines = unpack(stored).split(b"\n")
            assert lines.pop() == b"" and len(lines) == found["last"] - found["first"] + 1
            assert merkle.root([merkle.leaf_hash(line) for line in lines]).hex() == found["merkle_root"]
            for count in found["batches"]:
                batch, lines = lines[:count], lines[count:]
                before = chain.extend(before, following, count, chain.content_hash(batch))
                documents += batch
                following += count
            assert found["chain_after"] == before.hex() and not lines
            previous = hashlib.sha256(content).hexdigest()
        assert documents == worker.ledger, (
            f"{len(documents)} documents in the archive, {len(worker.ledger)} in the ledger"
        )
        objects = {key.rsplit(".ndjson", 1)[0].rsplit(".seal", 1)[0] for key, _, _ in versions}
        assert len(versions) == 2 * len(objects) or any(key.endswith(".tsr") for key, _, _ in versions)
        return self

    def check_locks(self, retention="7y"):
        """Every version is locked for as long as was asked."""
        earliest = Retention(retention).end(now()).timestamp() - 3600
        for key, version, _ in self.versions():
            head = client().head_object(Bucket=self.bucket, Key=key, VersionId=version)
            assert head["ObjectLockMode"] == "COMPLIANCE", key
            assert key.startswith("audit/probe/") or head["ObjectLockRetainUntilDate"].timestamp() >= earliest, key


def unpack(content):
    return zstandard.ZstdDecompressor().decompressobj().decompress(content)
