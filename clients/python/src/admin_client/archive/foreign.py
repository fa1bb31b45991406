"""Records of the topic that belong to no store: kept as they are, one line each."""

import json
import time
from typing import Any

from admin_client.archive.draft import Compressed
from admin_client.archive.errors import StreamBroken, Untrustworthy
from admin_client.archive.objects import Objects, encoded
from admin_client.evidence import merkle

Message = Any  # a confluent_kafka.Message


def line(message: Message) -> bytes:
    """A record as a foreign object has it, without line feed; doc/evidence.md lists the members."""
    kind, timestamp = message.timestamp()
    headers = [[name, encoded(value)] for name, value in message.headers() or ()]
    members = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": timestamp if kind else None,
        "key": encoded(message.key()),
        "headers": headers,
        "value": encoded(message.value()),
    }
    return json.dumps(members, separators=(",", ":")).encode()


class ForeignPartition:
    """The foreign records of one partition that are in no object yet."""

    def __init__(self, objects: Objects, partition: int, archived: int) -> None:
        """archived: offsets up to this one are in the archive, -1 for none."""
        self._objects, self._partition, self.archived = objects, partition, archived
        self._compressed: Compressed | None = None
        self._tree = merkle.Accumulator()
        self.first = self.last = -1
        self.bytes, self.started = 0, 0.0
        self._end: int | None = None

    def add(self, offset: int, content: bytes) -> None:
        """One more record, in order of offsets; one that was archived before is skipped."""
        if offset <= max(self.archived, self.last):
            return
        if self._compressed is None:
            self._begin(offset)
        if self._end is not None and offset > self._end:
            raise Untrustworthy(
                f"the foreign object from offset {self.first} was to end with {self._end}, and the topic has no such record"
            )
        assert self._compressed is not None
        self._compressed.write(content + b"\n")
        self._tree.extend([merkle.leaf_hash(content)])
        self.last, self.bytes = offset, self.bytes + len(content) + 1

    def _begin(self, offset: int) -> None:
        self._compressed, self._tree = Compressed(), merkle.Accumulator()
        self.first, self.bytes, self.started = offset, 0, time.monotonic()
        try:
            self._end = self._objects.claimed_end(f"foreign/{self._objects.topic}/{self._partition}", offset)
        except StreamBroken as reason:
            raise Untrustworthy(str(reason)) from None

    def is_open(self) -> bool:
        """Returns whether there is a record to write."""
        return self._compressed is not None

    def is_due(self, most_bytes: int, age: float) -> bool:
        """Returns whether it is time to write the object."""
        if not self.is_open():
            return False
        if self._end is not None:
            return self.last == self._end
        return self.bytes >= most_bytes or time.monotonic() - self.started >= age

    def write(self) -> None:
        """Writes the object if it has any record."""
        if self._compressed is None or (self._end is not None and self.last != self._end):
            return
        try:
            self._objects.write_foreign(self._partition, self.first, self.last, self._compressed, self._tree.root())
        except StreamBroken as reason:
            raise Untrustworthy(str(reason)) from None
        self._compressed.close()
        self.archived, self._compressed, self._end = self.last, None, None
