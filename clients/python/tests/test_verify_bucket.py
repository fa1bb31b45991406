"""A bucket: lock and retention of every version, versions that differ, delete markers.  The bucket keeps objects as S3 does, in memory."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from admin_client.verify.keys import Keys
from admin_client.verify.report import lines, sentence
from admin_client.verify.run import Source, Wish, run
from admin_client.verify.storage import Bucket
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from evidence_sources import BEGIN, KEY, Archive, compress, history, seal

LOCKED_FOR = timedelta(days=7 * 366)


class Memory:
    """The calls of boto3's client that are used, over versions in memory."""

    def __init__(self):
        self.objects = {}

    def put(self, key, body, mode="COMPLIANCE", until=BEGIN + LOCKED_FOR, deleted=False):
        versions = self.objects.setdefault(key, [])
        versions.append(
            {
                "VersionId": f"v{len(versions)}",
                "Key": key,
                "Size": len(body),
                "LastModified": datetime(2026, 12, 1, tzinfo=UTC) + timedelta(seconds=len(versions)),
                "body": body,
                "mode": mode,
                "until": until,
                "deleted": deleted,
            }
        )

    def get_paginator(self, name):
        assert name == "list_object_versions"
        return self

    def paginate(self, Bucket, Prefix):
        for key in sorted(self.objects):
            if key.startswith(Prefix):
                versions = self.objects[key][::-1]
                yield {
                    "Versions": [version for version in versions if not version["deleted"]],
                    "DeleteMarkers": [version for version in versions if version["deleted"]],
                }

    def _version(self, key, version_id):
        return next(version for version in self.objects[key] if version["VersionId"] == version_id)

    def head_object(self, Bucket, Key, VersionId):
        version = self._version(Key, VersionId)
        return {"ObjectLockMode": version["mode"], "ObjectLockRetainUntilDate": version["until"]}

    def get_object(self, Bucket, Key, VersionId):
        version = self._version(Key, VersionId)
        if version["deleted"]:
            raise RuntimeError("MethodNotAllowed")  # as S3 answers
        return {"Body": io.BytesIO(version["body"])}


@pytest.fixture
def bucket(tmp_path):
    Archive(tmp_path / "archive").write(history())
    memory = Memory()
    for path in sorted((tmp_path / "archive").rglob("*.*")):
        if path.is_file():
            memory.put(path.relative_to(tmp_path / "archive").as_posix(), path.read_bytes())
    (tmp_path / "key").write_bytes(KEY.public_key().public_bytes_raw())
    memory.keys = Keys([str(tmp_path / "key")])
    return memory


def verified(bucket):
    return run(Wish([Source("archive", "s3://bucket/audit", storage=Bucket(bucket, "bucket", "audit"))], bucket.keys))


def an_object(bucket):
    return [key for key in bucket.objects if key.endswith(".zst")][1]


def test_a_locked_bucket_is_proved(bucket):
    report = verified(bucket)
    assert report.status == 0 and report.streams[0].locked == len(bucket.objects), "\n".join(lines(report))


def overwritten(bucket):
    bucket.put(an_object(bucket), compress(b"{}\n"))


def hidden(bucket):
    bucket.put(an_object(bucket), b"", deleted=True)


def unlocked(bucket):
    bucket.objects[an_object(bucket)][0]["mode"] = None


def governance(bucket):
    bucket.objects[an_object(bucket)][0]["mode"] = "GOVERNANCE"


def short(bucket):
    bucket.objects[an_object(bucket)][0]["until"] = BEGIN + timedelta(days=400)


def short_newer_version(bucket):
    key = an_object(bucket)
    bucket.put(key, bucket.objects[key][0]["body"], until=BEGIN + timedelta(days=1))


def gone(bucket):
    del bucket.objects[an_object(bucket)]


@pytest.mark.parametrize(
    "attack, said",
    [
        (overwritten, "was overwritten: its versions are 2 different contents"),
        (hidden, "a delete marker of"),
        (unlocked, "is not locked in mode COMPLIANCE (None)"),
        (governance, "is not locked in mode COMPLIANCE (GOVERNANCE)"),
        (short, "can be deleted from"),
        (short_newer_version, "can be deleted from"),
        (gone, "is missing: documents"),
    ],
)
def test_an_attack_on_a_bucket_is_seen(bucket, attack, said):
    attack(bucket)
    report = verified(bucket)
    assert report.status == 1 and said in sentence(report), sentence(report)


def test_a_fingerprint_is_enough_where_the_archive_has_the_public_key(bucket, tmp_path):
    public = KEY.public_key()
    name = seal.key_id(public.public_bytes_raw())
    bucket.put(f"audit/keys/{name}.pem", public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    bucket.put("audit/claims/x.json", b"{}")
    bucket.keys = Keys([name])
    report = verified(bucket)
    assert report.status == 0 and not report.streams[0].untrusted, sentence(report)
    assert not report.findings.kept


@pytest.mark.parametrize("was_there", [True, False])
def test_a_public_key_that_a_delete_marker_hides_keeps_nobody_from_looking(bucket, was_there):
    """A marker can be put on a name that never had an object; some storages list a marker in front of the version that it hides."""
    public = KEY.public_key()
    name = f"audit/keys/{seal.key_id(public.public_bytes_raw())}.pem"
    bucket.put(name, b"", deleted=True)
    if was_there:
        bucket.put(name, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        bucket.keys = Keys([seal.key_id(public.public_bytes_raw())])
    report = verified(bucket)
    assert report.status == 0 and not report.streams[0].untrusted, sentence(report)
