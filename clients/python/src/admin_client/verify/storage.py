"""Where an archive is: a folder, or a bucket with all versions of its objects."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

from .optional import needed
from .report import CannotLook


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object.  mode and retain_until: None where they are not known, as in a folder."""

    version_id: str | None
    written: datetime | None
    deleted: bool = False
    size: int = 0
    mode: str | None = None
    retain_until: datetime | None = None


class Storage(Protocol):
    """Objects by key."""

    has_versions: bool

    def keys(self) -> Iterator[str]:
        """All keys, each once."""

    def versions(self, key: str) -> list[Version]:
        """All versions of an object, the oldest first.  A delete marker is one, too."""

    def open(self, key: str, version: Version) -> IO[bytes]:
        """Its bytes, seekable.  Raises FileNotFoundError."""


class Folder:
    """A copy of an archive: the key is the path below the folder."""

    has_versions = False

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise CannotLook(f'folder "{directory}" does not exist')
        self.directory = directory

    def keys(self) -> Iterator[str]:
        for path in self.directory.rglob("*"):
            if path.is_symlink() and path.is_dir():
                raise CannotLook(
                    f'"{path}" is a symbolic link to a folder, and such links are not followed: put a copy in its place'
                )
            if path.is_file():
                yield path.relative_to(self.directory).as_posix()

    def versions(self, key: str) -> list[Version]:
        path = self.directory / key
        return [Version(None, None, size=path.stat().st_size)] if path.is_file() else []

    def open(self, key: str, version: Version) -> IO[bytes]:
        return (self.directory / key).open("rb")


class Bucket:
    """An S3 bucket; client is boto3's, or one that answers like it."""

    has_versions = True

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix
        self._page: dict[str, list[Version]] = {}

    def keys(self) -> Iterator[str]:
        last = None
        for version in self._pages(self._prefix):
            if version["Key"] != last:
                last = version["Key"]
                yield last

    def _pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Versions and delete markers, in order of their keys within each page."""
        for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix):
            found = [
                *page.get("Versions", ()),
                *({**marker, "Deleted": True} for marker in page.get("DeleteMarkers", ())),
            ]
            yield from sorted(found, key=lambda version: str(version["Key"]))

    def versions(self, key: str) -> list[Version]:
        return sorted(
            (self._version(each) for each in self._pages(key) if each["Key"] == key),
            key=lambda version: version.written or datetime.min,
        )

    def _version(self, listed: dict[str, Any]) -> Version:
        if listed.get("Deleted"):
            return Version(listed["VersionId"], listed["LastModified"], deleted=True)
        head = self._client.head_object(Bucket=self._bucket, Key=listed["Key"], VersionId=listed["VersionId"])
        return Version(
            listed["VersionId"],
            listed["LastModified"],
            size=listed["Size"],
            mode=head.get("ObjectLockMode"),
            retain_until=head.get("ObjectLockRetainUntilDate"),
        )

    def open(self, key: str, version: Version) -> IO[bytes]:
        body = self._client.get_object(Bucket=self._bucket, Key=key, VersionId=version.version_id)["Body"]
        file = tempfile.TemporaryFile()
        while chunk := body.read(1 << 20):
            file.write(chunk)
        file.seek(0)
        return file


def storage_of(where: str) -> Storage:
    """s3://bucket/prefix, or a folder.  An endpoint is what AWS_ENDPOINT_URL says, as boto3 reads it."""
    if not where.startswith("s3://"):
        return Folder(Path(where))
    boto3 = needed("boto3", "boto3", "a bucket (unlike a copy of it in a folder)")
    bucket, _, prefix = where.removeprefix("s3://").partition("/")
    return Bucket(boto3.client("s3"), bucket, prefix)
