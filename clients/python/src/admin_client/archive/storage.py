"""The bucket: locked PUTs that never overwrite, and reading back.

Every method raises Away where the storage gave no usable answer, and Untrustworthy where it
contradicts itself.  Nothing here retries.
"""

import base64
import datetime
import email.utils
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NoReturn

import boto3
import botocore.config
import botocore.exceptions
import botocore.parsers

from admin_client.archive.backoff import Away, Refusal
from admin_client.archive.durations import Retention
from admin_client.archive.errors import Refused, Untrustworthy

MODE = "COMPLIANCE"
CLOCK_TOLERANCE = datetime.timedelta(minutes=5)
# Timeout, a conflict with a request at the same time, too many requests.
_COME_BACK_LATER = (408, 409, 429)
_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 60}


class Exists(Exception):
    """The name is already taken."""


@dataclass(frozen=True)
class Version:
    """One version of an object in a listing; a delete marker hides what is below it."""

    key: str
    version_id: str
    is_marker: bool


def now() -> datetime.datetime:
    """The archiver's clock, in UTC."""
    return datetime.datetime.now(datetime.UTC)


class Storage:
    """One bucket.  Names are whole keys."""

    def __init__(
        self,
        bucket: str,
        endpoint: str | None,
        retention: Retention,
        count: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        """endpoint is the URL of a storage that is not Amazon's.  count gets the outcome of each request.  Raises Refused."""
        self.bucket, self._retention, self._count = bucket, retention, count
        config = botocore.config.Config(retries={"total_max_attempts": 1}, **_TIMEOUTS)
        try:
            self._client: Any = boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise Refused(f"could not set up the client of the storage: {error}") from None

    def call(self, operation: str, **arguments: Any) -> Any:
        """Makes one request. Raises Exists for 412, KeyError for a missing object, and Away for all other failures."""
        try:
            answer = getattr(self._client, operation)(Bucket=self.bucket, **arguments)
        except botocore.exceptions.ClientError as error:
            self._fail(operation, error)
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.ParamValidationError) as error:
            self._count("refused")
            raise Refusal(f"{operation}: {error}") from None
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.HTTPClientError, OSError) as error:
            self._count("unreachable")
            raise Away(f"{operation}: {error}") from None
        except (botocore.parsers.ResponseParserError, ValueError) as error:  # the latter for a date that is none
            self._count("unreadable")
            raise Away(f"{operation}: the answer is malformed: {error}") from None
        self._count("ok")
        return answer

    def _fail(self, operation: str, error: Any) -> NoReturn:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 412:
            self._count("exists")
            raise Exists from None
        if status == 404 and code != "NoSuchBucket":
            self._count("ok")
            raise KeyError(code) from None
        if status is not None and 400 <= status < 500 and status not in _COME_BACK_LATER:
            self._count("refused")
            raise Refusal(f"{operation}: {error}") from None
        self._count("failed")
        raise Away(f"{operation}: {error}") from None

    def check_clock(self) -> None:
        """Compares the archiver's clock with the storage's, since retentions are computed from it.  Raises Away."""
        try:
            answer = self.call("head_bucket")
        except KeyError:
            raise Refusal("it does not exist") from None
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        theirs = email.utils.parsedate_to_datetime(date) if date else None
        if theirs is None:
            return
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=datetime.UTC)
        if abs(now() - theirs) > CLOCK_TOLERANCE:
            raise Away(
                f"the clock of this machine says {now():%Y-%m-%dT%H:%M:%SZ}, that of the storage {theirs:%Y-%m-%dT%H:%M:%SZ}"
            )

    def put(
        self,
        key: str,
        body: bytes | IO[bytes],
        sha256: bytes,
        length: int,
        content_type: str,
        until: datetime.datetime | None = None,
    ) -> datetime.datetime:
        """Writes a new object and returns until when it is locked.  Raises Exists where the name is taken.

        until is for objects that are kept shorter than the archive.
        """
        until = until or self._retention.end(now())
        answer = self.call(
            "put_object",
            Key=key,
            Body=body,
            ContentLength=length,
            ContentType=content_type,
            IfNoneMatch="*",
            ObjectLockMode=MODE,
            ObjectLockRetainUntilDate=until,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=base64.b64encode(sha256).decode(),
        )
        said = answer.get("ChecksumSHA256")
        if said is not None and said != base64.b64encode(sha256).decode() and self.sha256(key) != sha256:
            raise Untrustworthy(f'the storage has other bytes in "{key}" than it was sent')
        self._check_lock(key, until, length)
        return until

    def put_bytes(
        self, key: str, body: bytes, content_type: str, until: datetime.datetime | None = None
    ) -> datetime.datetime:
        """Writes bytes as put() does.

        If the name is taken by the same bytes, an earlier answer was lost, and the write has succeeded.
        """
        try:
            return self.put(key, body, hashlib.sha256(body).digest(), len(body), content_type, until)
        except Exists:
            if self.get(key) != body:
                raise
            return self.retained_until(key)

    def _check_lock(self, key: str, until: datetime.datetime, length: int) -> None:
        head = self._head(key)
        if head.get("ObjectLockMode") != MODE or head.get("ObjectLockRetainUntilDate", now()) < until:
            raise Untrustworthy(
                f'"{key}" was written with a lock until {until:%Y-%m-%d}, and the storage does not say that it is locked so'
            )
        if head["ContentLength"] != length:
            raise Untrustworthy(f'"{key}" has {head["ContentLength"]} bytes, {length} were sent')

    def _head(self, key: str) -> Any:
        try:
            return self.call("head_object", Key=key)
        except KeyError:
            raise Untrustworthy(f'"{key}" is not there after it was written') from None

    def retained_until(self, key: str) -> datetime.datetime:
        """Returns until when an object is locked. Raises Untrustworthy if it is not locked."""
        head = self._head(key)
        until: datetime.datetime | None = head.get("ObjectLockRetainUntilDate")
        if head.get("ObjectLockMode") != MODE or until is None:
            raise Untrustworthy(f'"{key}" is not locked in mode {MODE}')
        return until

    def extend(self, key: str) -> None:
        """Locks an object for the whole retention from now on."""
        self.call(
            "put_object_retention", Key=key, Retention={"Mode": MODE, "RetainUntilDate": self._retention.end(now())}
        )

    def get(self, key: str) -> bytes:
        """The bytes of a small object.  Raises KeyError."""
        body: bytes = b"".join(self.chunks(key))
        return body

    def chunks(self, key: str, size: int = 1 << 20) -> Any:
        """The bytes of an object, piece by piece.  Raises KeyError, and Away also in the middle."""
        stream = self.call("get_object", Key=key)["Body"]
        try:
            yield from stream.iter_chunks(size)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.HTTPClientError, OSError) as error:
            raise Away(f"get_object: {error}") from None
        finally:
            stream.close()

    def sha256(self, key: str) -> bytes:
        """The hash of an object's bytes, read back."""
        digest = hashlib.sha256()
        for chunk in self.chunks(key):
            digest.update(chunk)
        return digest.digest()

    def folders(self, prefix: str) -> list[str]:
        """The names right below a prefix that ends with a slash, without it."""
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            answer = self.call("list_objects_v2", Prefix=prefix, Delimiter="/", **token)
            found += [each["Prefix"][len(prefix) :].rstrip("/") for each in answer.get("CommonPrefixes", ())]
            if not answer.get("IsTruncated"):
                return found
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    def versions(self, prefix: str, after: str, most: int) -> list[Version]:
        """The first versions and delete markers whose keys begin with the prefix and come after a key, in order of keys."""
        answer = self.call("list_object_versions", Prefix=prefix, KeyMarker=after, MaxKeys=most)
        found = [Version(each["Key"], each["VersionId"], False) for each in answer.get("Versions", ())]
        found += [Version(each["Key"], each["VersionId"], True) for each in answer.get("DeleteMarkers", ())]
        return sorted(found, key=lambda each: each.key)
