"""The archiver with the rights of deploy/archive/bucket-policy.json and no others, on a server that enforces them.

MinIO has policies of users instead, so the statements go to one without their Principal.  Two statements are left
out: the one about TLS, since this server speaks HTTP on loopback, and the one about If-None-Match, a condition that
MinIO does not know.  OBJECT_STORE=minio runs this file (test/archive/run).
"""

import datetime
import json
import os
import pathlib
import urllib.parse
import uuid

import boto3
import botocore.exceptions
import minio
import minio.credentials
import pytest
from harness import ENDPOINT, client, make_bucket

POLICY = pathlib.Path(__file__).parents[2] / "deploy/archive/bucket-policy.json"
LEFT_OUT = ("aws:SecureTransport", "s3:if-none-match")
LOCK = {
    "ObjectLockMode": "COMPLIANCE",
    "ObjectLockRetainUntilDate": datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1),
}


def statements(bucket):
    """Those of the deployed policy, for a bucket, as a user's."""
    policy = json.loads(POLICY.read_text().replace("BUCKET", bucket))
    kept = [each for each in policy["Statement"] if not any(condition in json.dumps(each) for condition in LEFT_OUT)]
    assert len(kept) == len(policy["Statement"]) - len(LEFT_OUT)
    return {
        "Version": policy["Version"],
        "Statement": [{name: value for name, value in each.items() if name != "Principal"} for each in kept],
    }


@pytest.fixture
def rights(archiver):
    """A client with the archiver's rights; the archiver's process has them, too."""
    name, secret = f"archiver-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    root = minio.credentials.StaticProvider(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    admin = minio.MinioAdmin(endpoint=urllib.parse.urlsplit(ENDPOINT).netloc, credentials=root, secure=False)
    admin.user_add(name, secret)
    admin.policy_add(name, policy=statements(archiver.bucket))
    admin.policy_set(name, user=name)
    archiver.environment = {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret}
    return boto3.client("s3", endpoint_url=ENDPOINT, aws_access_key_id=name, aws_secret_access_key=secret)


def is_refused(call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"] == "AccessDenied"
    return False


def test_the_policy_is_enough_for_the_archiver(archiver, worker, rights):
    worker.batches(3)
    archiver.run().check(worker).check_locks()
    worker.batches(2)
    archiver.run().check(worker)


def test_the_archivers_key_can_neither_delete_nor_hide(archiver, worker, rights):
    worker.batches(1)
    archiver.run()
    key, version, _ = next(each for each in archiver.versions() if each[0].endswith(".seal.json"))
    bucket = {"Bucket": archiver.bucket}
    assert is_refused(rights.delete_object, **bucket, Key=key)
    assert is_refused(rights.delete_object, **bucket, Key=key, VersionId=version)
    with pytest.raises(botocore.exceptions.ClientError):  # MinIO says that the object is locked
        rights.put_object_retention(
            **bucket, Key=key, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": LOCK["ObjectLockRetainUntilDate"]}
        )
    archiver.check(worker).check_locks()


def test_the_archivers_key_writes_nothing_without_a_lock_and_nothing_elsewhere(archiver, rights):
    bucket = {"Bucket": archiver.bucket}
    assert is_refused(rights.put_object, **bucket, Key="audit/x", Body=b"x", IfNoneMatch="*")
    assert is_refused(rights.put_object, **bucket, Key="other/x", Body=b"x", IfNoneMatch="*", **LOCK)
    rights.put_object(**bucket, Key="audit/x", Body=b"x", IfNoneMatch="*", **LOCK)


def test_a_second_version_of_a_name_leaves_the_first_one_as_it_is(archiver, worker, rights):
    """What the statement about If-None-Match refuses where the storage knows the condition."""
    worker.batches(1)
    archiver.run()
    key, version, _ = next(each for each in archiver.versions() if each[0].endswith(".seal.json"))
    before = archiver.get(key)
    rights.put_object(Bucket=archiver.bucket, Key=key, Body=b"x", **LOCK)
    assert rights.get_object(Bucket=archiver.bucket, Key=key)["Body"].read() == b"x"
    first = client().get_object(Bucket=archiver.bucket, Key=key, VersionId=version)
    assert first["Body"].read() == before and first["ObjectLockMode"] == "COMPLIANCE"


def test_the_archivers_key_can_not_change_the_bucket(archiver, rights):
    bucket = {"Bucket": archiver.bucket}
    assert is_refused(rights.put_bucket_versioning, **bucket, VersioningConfiguration={"Status": "Suspended"})
    assert is_refused(rights.put_bucket_policy, **bucket, Policy="{}")
    assert is_refused(
        rights.put_bucket_lifecycle_configuration,
        **bucket,
        LifecycleConfiguration={
            "Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
        },
    )
    assert is_refused(rights.list_objects_v2, Bucket=make_bucket())
