"""What the archiver knows of one store: its stream, the object that is being filled, and whether it stopped."""

import logging
from collections.abc import Iterator

from admin_client.archive.draft import Draft
from admin_client.archive.errors import Place, StreamBroken
from admin_client.archive.listing import Sealed
from admin_client.archive.objects import Objects, Receipt
from admin_client.archive.records import Document, Numbered
from admin_client.archive.stream import Batch, Pool, Stream

_log = logging.getLogger(__name__)


class Store:
    """One store's way into the archive. A caller that catches StreamBroken must call stop()."""

    def __init__(self, name: str, objects: Objects, sealed: Sealed | None) -> None:
        """sealed is the newest seal."""
        self.name, self._objects = name, objects
        self.broken: str | None = None
        self.draft: Draft | None = None
        self._is_refused = False  # the draft differs from the object that the archive has under its name
        self._end: int | None = None  # where the draft has to end, if a claim says so
        self._frozen: dict[int, int] = {}  # where to read on after the stream has broken
        self.stalled_at, self.ends = -1, None  # type: int, dict[int, int] | None
        self.cause: Place | None = None  # the record that broke the stream, if a record did
        self.stops = 0  # how often the stream has stopped, according to the archive
        self.is_recorded = False  # the archive also records the stop, and where to read on
        self.accepted: dict[int, int] = {}  # an operator has accepted second records below these offsets
        if sealed is None:
            self.stream, self.previous = Stream(name), None  # type: Stream, str | None
            return
        found = sealed.seal
        self.stream = Stream(name, found["last"], bytes.fromhex(found["chain_after"]), found["sink"])
        self.previous = sealed.sha256

    def may_have(self, record: Numbered) -> bool:
        """Returns whether the archive had the record's number when the archiver started, if the record is of this
        store.
        """
        return record.number <= self.stream.archived

    def is_accepted(self, document: Document) -> bool:
        """Returns whether an operator has accepted a second record at this place."""
        return document.offset < self.accepted.get(document.partition, 0)

    def is_second(self, record: Numbered) -> bool:
        """Returns whether the record, in a stream that has stopped, is the second one of a number."""
        document = record.document
        return record.number < self.stream.next or self.cause == (record.number, document.partition, document.offset)

    def batches(self, pool: Pool) -> Iterator[Batch]:
        """Yields the batches that are complete now. Each is in the draft when it is yielded."""
        for batch in self.stream.batches(pool):
            if self.draft is None:
                self._end = self._objects.claimed_end(self.name, batch.seal.first)
                self.draft = Draft(batch.seal.previous)
            if self._end is not None and batch.seal.last > self._end:
                raise StreamBroken(
                    f"the object from number {self.draft.first or batch.seal.first} was to end with {self._end}, and no batch does"
                )
            self.draft.add(batch.seal, batch.documents, batch.chain_after)
            yield batch

    def is_due(self, most_bytes: int, at: float, age: float) -> bool:
        """Returns whether it is time to write the object. at: time of the monotonic clock."""
        if self.draft is None:
            return False
        if self._end is not None:
            return self.draft.last == self._end
        return self.draft.documents_bytes >= most_bytes or self.draft.is_old(at, age)

    def takes_schema(self, schema_id: int | None) -> bool:
        """Returns whether the draft takes documents of this schema: all documents of an object have the same one."""
        return self.draft is None or self._end is not None or self.draft.schema_id == schema_id

    def write(self) -> tuple[Receipt, bytes, Draft] | None:
        """Writes and seals the draft.

        Returns None if there is no draft, or if it does not reach the end that it has to have.
        """
        draft = self.draft
        if draft is None or self._is_refused or (self._end is not None and draft.last != self._end):
            return None
        try:
            receipt, content = self._objects.write(self.name, self.stream.sink or "", draft, self.previous)
        except StreamBroken:
            self._is_refused = True
            raise
        draft.compressed.close()
        self.previous, self.draft, self._end = receipt.seal_sha256, None, None
        return receipt, content, draft

    def stop(self, reason: str, positions: dict[int, int], cause: Place | None = None) -> Receipt:
        """Stops archiving the store. Returns the receipt that reports this to the database."""
        self._frozen = self.resume(positions)
        self.broken, self.cause = reason, cause
        last = self.draft.first - 1 if self.draft and self.draft.first else self.stream.next - 1
        self.stream.waiting.clear()
        self.stream.seals.clear()
        if self.draft is not None:
            self.draft.compressed.close()
            self.draft = None
        _log.error("store %s: the stream has stopped after number %d: %s", self.name, last, reason)
        return Receipt(self.name, self.stream.sink or "kafka", last, None, None, None, reason)

    def resume(self, positions: dict[int, int]) -> dict[int, int]:
        """Returns the first offset of each partition with a record of this store that no seal covers."""
        if self.broken is not None:
            return self._frozen
        offsets = dict(positions)
        for document in self.stream.waiting.values():
            offsets[document.partition] = min(offsets.get(document.partition, document.offset), document.offset)
        if self.draft is not None:
            for partition, (first, _) in self.draft.ranges.items():
                offsets[partition] = min(offsets.get(partition, first), first)
        return offsets
