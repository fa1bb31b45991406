"""Checks at each start that the bucket protects its objects: the archiver tries to get rid of a probe object."""

import datetime
import uuid
from typing import Any

from admin_client.archive.backoff import Refusal
from admin_client.archive.errors import Refused, Untrustworthy
from admin_client.archive.storage import MODE, Exists, Storage, now

_PROBE = b"This object shows that the bucket keeps what is locked.\n"
# The probe cannot be deleted for this long. The time is longer than two clocks may differ.
PROBE_RETENTION = datetime.timedelta(days=1)


def check(storage: Storage, prefix: str) -> None:
    """Raises Refused if the bucket would not keep an archive, and Away if it does not answer."""
    try:
        storage.check_clock()
        _check_settings(storage)
        _check_probe(storage, f"{prefix}probe/{uuid.uuid4()}")
    except (Refusal, Untrustworthy) as error:
        raise Refused(f'the bucket "{storage.bucket}" is not one for an archive: {error}') from None


def _check_probe(storage: Storage, key: str) -> None:
    until = now().replace(microsecond=0) + PROBE_RETENTION
    storage.put_bytes(key, _PROBE, "text/plain", until)
    _check_overwriting(storage, key)
    version = storage.call("head_object", Key=key).get("VersionId")
    if version is None:
        raise Refused(f'the bucket "{storage.bucket}" gives its objects no versions')
    _check_shortening(storage, key, version, until)
    _check_deleting(storage, key, version)
    if storage.get(key) != _PROBE:
        raise Refused(f'the bucket "{storage.bucket}" changed a locked object')


def _check_settings(storage: Storage) -> None:
    try:
        versioning = storage.call("get_bucket_versioning").get("Status")
    except KeyError:
        versioning = None
    if versioning != "Enabled":
        raise Refused(f'the bucket "{storage.bucket}" has no versioning; Object Lock needs it')
    try:
        lock = storage.call("get_object_lock_configuration")["ObjectLockConfiguration"].get("ObjectLockEnabled")
    except KeyError:
        lock = None
    if lock != "Enabled":
        raise Refused(f'the bucket "{storage.bucket}" has no Object Lock')


def _check_overwriting(storage: Storage, key: str) -> None:
    try:
        storage.put_bytes(key, _PROBE.swapcase(), "text/plain", now().replace(microsecond=0) + PROBE_RETENTION)
    except Exists:
        return
    raise Refused(f'the bucket "{storage.bucket}" overwrites objects: it ignores If-None-Match')


def _was_done(storage: Storage, operation: str, **arguments: Any) -> bool:
    """Returns whether the storage did what it has to refuse. Raises Away if it gives no answer."""
    try:
        storage.call(operation, **arguments)
    except (Exists, Refusal):
        return False
    return True


def _check_shortening(storage: Storage, key: str, version: str, until: datetime.datetime) -> None:
    shorter = {"Mode": MODE, "RetainUntilDate": until - PROBE_RETENTION / 2}
    _was_done(
        storage, "put_object_retention", Key=key, VersionId=version, Retention=shorter, BypassGovernanceRetention=True
    )
    lesser = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    _was_done(
        storage, "put_object_retention", Key=key, VersionId=version, Retention=lesser, BypassGovernanceRetention=True
    )
    if storage.retained_until(key) < until:
        raise Refused(f'the bucket "{storage.bucket}" lets the retention of a locked object be shortened')


def _check_deleting(storage: Storage, key: str, version: str) -> None:
    if _was_done(storage, "delete_object", Key=key, VersionId=version, BypassGovernanceRetention=True):
        raise Refused(f'the bucket "{storage.bucket}" lets a locked object be deleted')
