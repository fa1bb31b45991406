"""From records to objects: one pass over the topic."""

import logging
import time
from typing import Any

from admin_client.archive.backoff import Away
from admin_client.archive.draft import Draft
from admin_client.archive.errors import Place, Rewind, SecondRecord, StreamBroken
from admin_client.archive.foreign import ForeignPartition, line
from admin_client.archive.listing import Listing
from admin_client.archive.lookup import Lookup
from admin_client.archive.metrics import Metrics
from admin_client.archive.objects import Objects, Receipt
from admin_client.archive.reader import Reader
from admin_client.archive.records import Document, Numbered, parse
from admin_client.archive.settings import Settings
from admin_client.archive.stores import Store
from admin_client.archive.stream import Batch, Pool

_log = logging.getLogger(__name__)


class Sink:
    """Receives seals, broken streams and the offsets to read on from."""

    def sealed(self, receipt: Receipt, content: bytes, draft: Draft) -> None:
        """An object has received its seal."""
        raise NotImplementedError

    def stopped(self, receipt: Receipt, store: Store) -> None:
        """A stream was stopped for a reason that the archive does not record yet."""
        raise NotImplementedError


class Session:
    """Reads records and writes the objects that are complete.

    This thread also writes the objects. So while the storage is away the archiver reads nothing, and its memory does
    not grow.
    """

    def __init__(
        self, settings: Settings, reader: Reader, objects: Objects, listing: Listing, metrics: Metrics, sink: Sink
    ) -> None:
        self._settings, self.reader, self._objects = settings, reader, objects
        self._metrics, self._sink = metrics, sink
        self.stores: dict[str, Store] = {}
        self.is_rewindable = False
        self._lookup = Lookup(objects.storage, listing, objects.topic)
        self._pool = Pool()
        self._pool_messages: dict[Document, Any] = {}
        self._pool_ends: dict[int, int] | None = None
        self._foreign: dict[int, ForeignPartition] = {}
        self._foreign_waiting: dict[int, list[tuple[int, bytes]]] = {}
        self._buffered: dict[int, int] = {}
        self._before_read: dict[int, int] = {}  # the positions before the read: the cause of a stop is behind them
        self.records = 0

    def open(self, stores: dict[str, Store], foreign: dict[int, int]) -> None:
        """What the archive has: stores, and the last foreign offset of each partition."""
        self.stores = stores
        for partition, last in foreign.items():
            self._foreign[partition] = ForeignPartition(self._objects, partition, last)

    def step(self, timeout: float) -> int:
        """Reads once, and writes what is due.  Returns how many records there were."""
        self._before_read = dict(self.reader.position)
        messages = self.reader.read(timeout)
        touched = self._take(messages)
        for store in touched:
            self._assemble(store)
        self._move_foreign()
        self._write_due()
        self._hold_back()
        self.records += len(messages)
        return len(messages)

    def _take(self, messages: list[Any]) -> list[Store]:
        """Sorts records by store. Returns the stores that may have a complete batch now."""
        touched: dict[str, Store] = {}
        stores, buffered = self.stores, self._buffered
        for message in messages:
            partition = message.partition()
            value = message.value()
            record = parse(value, message.headers(), partition, message.offset())
            if record is None:
                self._put_aside(message)
                continue
            if record.store is None:
                if self._was_archived(record):
                    continue
                self._pool.add(record.number, record.document)
                self._pool_messages[record.document] = message
                touched.update((name, each) for name, each in stores.items() if each.stream.seals)
            else:
                store = stores.get(record.store) or self._new_store(record.store)
                if not self._add(store, record, message):
                    continue
                if record.seal is not None or store.stream.seals:
                    touched[store.name] = store
            buffered[partition] = buffered.get(partition, 0) + len(record.document.body)
        return list(touched.values())

    def _was_archived(self, record: Numbered) -> bool:
        """Returns whether the archive already has a record that names no store.

        The document is compared, because it may be forged.
        """
        return any(store.may_have(record) and self._holds(store, record) for store in self.stores.values())

    def _holds(self, store: Store, record: Numbered) -> bool:
        try:
            return self._objects.patience.until(
                lambda: self._lookup.holds(store.name, record.number, record.document), "looking a document up"
            )
        except StreamBroken as reason:
            self._stop(store, reason)
            return False

    def _add(self, store: Store, record: Numbered, message: Any) -> bool:
        """Adds a record to its store. Returns False if the archive has the record, or if the stream cannot take it.

        The second record of a number is kept among the foreign ones, whether it stops the stream or has been accepted.
        """
        if store.broken is not None or store.may_have(record):
            if store.may_have(record) and self._holds(store, record):
                return False
            if store.broken is None and not store.is_accepted(record.document):
                self._stop(store, SecondRecord(Place(record.number, record.document.partition, record.document.offset)))
            if store.broken is None or store.is_second(record):
                self._put_aside(message)
            return False
        try:
            store.stream.add(record)
            return True
        except StreamBroken as reason:
            if reason.second is not None:
                self._put_aside(message)
            if reason.second is None or not store.is_accepted(record.document):
                self._stop(store, reason)
            return False

    def _put_aside(self, message: Any) -> None:
        """Keeps a record among the foreign ones."""
        self._foreign_waiting.setdefault(message.partition(), []).append((message.offset(), line(message)))
        self._metrics.foreign.inc()

    def _new_store(self, name: str) -> Store:
        _log.info("store %s: its first record", name)
        store = self.stores[name] = Store(name, self._objects, None)
        return store

    def _assemble(self, store: Store) -> None:
        if store.broken is not None:
            return
        try:
            for batch in store.batches(self._pool):
                self._count_out(batch)
                following = store.stream.seals.get(store.stream.next)
                schema = store.stream.waiting.get(following.last) if following else None
                if store.is_due(self._settings.roll_bytes, time.monotonic(), self._settings.roll_age) or (
                    schema is not None and not store.takes_schema(schema.schema_id)
                ):
                    self._write(store)
        except StreamBroken as reason:
            self._stop(store, reason)

    def _count_out(self, batch: Batch) -> None:
        """Subtracts the batch's documents from those that wait."""
        buffered = self._buffered
        for body, partition, _, _ in batch.documents:
            buffered[partition] -= len(body)
        if self._pool_messages:
            for document in batch.documents:
                self._pool_messages.pop(document, None)

    def _write(self, store: Store) -> None:
        written = store.write()
        if written is not None:
            receipt, content, draft = written
            self._sink.sealed(receipt, content, draft)

    def _stop(self, store: Store, cause: StreamBroken) -> None:
        """Seals what fits, and stops the stream there."""
        reason = str(cause)
        if store.broken is not None:
            return
        waiting = list(store.stream.waiting.values())
        try:
            self._write(store)
        except StreamBroken as other:
            reason = f"{reason}; {other}"
        # The newest read was not examined to its end. The next run has to read its records, and the cause, again.
        receipt = store.stop(reason, self._with_pool({**self.reader.position, **self._before_read}), cause.second)
        self._sink.stopped(receipt, store)
        for document in waiting:
            self._buffered[document.partition] -= len(document.body)

    def _move_foreign(self) -> None:
        """Moves foreign records to their objects in order of offsets.

        A record waits as long as one before it may turn out to be foreign.
        """
        for partition, waiting in self._foreign_waiting.items():
            low = min((each.offset for each in self._pool_messages if each.partition == partition), default=None)
            if partition not in self._foreign:
                self._foreign[partition] = ForeignPartition(self._objects, partition, -1)
            waiting.sort()
            ready = [each for each in waiting if low is None or each[0] < low]
            for offset, content in ready:
                self._foreign[partition].add(offset, content)
            del waiting[: len(ready)]

    def _write_due(self) -> None:
        at = time.monotonic()
        for store in self.stores.values():
            if store.is_due(self._settings.roll_bytes, at, self._settings.roll_age):
                try:
                    self._write(store)
                except StreamBroken as reason:
                    self._stop(store, reason)
        for foreign in self._foreign.values():
            if foreign.is_due(self._settings.roll_bytes, self._settings.roll_age):
                foreign.write()

    def write_all(self) -> None:
        """Writes all objects, whatever their size and age."""
        self._move_foreign()
        for store in self.stores.values():
            if store.broken is None:
                try:
                    self._write(store)
                except StreamBroken as reason:
                    self._stop(store, reason)
        for foreign in self._foreign.values():
            foreign.write()

    def _hold_back(self) -> None:
        """Pauses partitions that are far ahead of others.

        Numbers ascend in each partition. So a partition that has shown a higher number than the missing one cannot have
        the missing one.
        """
        total, most = sum(self._buffered.values()), self._settings.buffer
        if total < most / 2:
            self.reader.hold(set())
        elif total > most:
            share = most / len(self.reader.position)
            lacking = [
                (store.stream.first_missing(self._pool), store.stream.highest)
                for store in self.stores.values()
                if store.stream.is_waiting()
            ]
            self.reader.hold(
                {
                    partition
                    for partition, size in self._buffered.items()
                    if size > share and all(highest.get(partition, 0) > number for number, highest in lacking)
                }
            )

    def check_stalls(self) -> None:
        """Stops streams that lack a number or a seal which cannot arrive any more. Called every second."""
        for store in self.stores.values():
            if store.broken is None:
                try:
                    self._check_stall(store)
                except StreamBroken as reason:
                    self._stop(store, reason)
        self._check_pool()

    def _check_stall(self, store: Store) -> None:
        stream = store.stream
        if not stream.is_waiting() or store.stalled_at != stream.next:
            store.stalled_at, store.ends = (stream.next, None) if stream.is_waiting() else (-1, None)
            return
        stream.check_seals()
        if store.ends is None:
            store.ends = self._current_ends()
            return
        if stream.is_proved_missing(stream.first_missing(self._pool), self.reader.position, store.ends):
            reason = stream.explain(self._pool)
            if self.is_rewindable:
                raise Rewind(f"store {store.name}: {reason}")
            raise StreamBroken(reason)

    def _current_ends(self) -> dict[int, int] | None:
        try:
            return self.reader.ends()
        except Away as reason:
            _log.warning("%s", reason)
            return None

    def _check_pool(self) -> None:
        """Treats numbered records as foreign if no batch took them before the partitions were read to an end noted
        after their arrival.
        """
        if not self._pool_messages:
            self._pool_ends = None
        elif self._pool_ends is None:
            self._pool_ends = self._current_ends()
        elif all(self.reader.position.get(partition, 0) >= end for partition, end in self._pool_ends.items()):
            for number, documents in list(self._pool.documents.items()):
                for document in list(documents):
                    if document.offset < self._pool_ends.get(document.partition, 0):
                        self._disown(number, document)
            self._pool_ends = None

    def _disown(self, number: int, document: Document) -> None:
        self._pool.take(number, document)
        self._buffered[document.partition] -= len(document.body)
        self._put_aside(self._pool_messages.pop(document))

    def _with_pool(self, positions: dict[int, int]) -> dict[int, int]:
        """Returns the positions, moved back to the first record of the pool in each partition."""
        offsets = dict(positions)
        for document in self._pool_messages:
            offsets[document.partition] = min(offsets.get(document.partition, document.offset), document.offset)
        return offsets

    def resume(self) -> dict[int, int]:
        """Returns the first offset of each partition that is not archived yet."""
        offsets = self._with_pool(self.reader.position)
        candidates = [store.resume(self.reader.position) for store in self.stores.values() if not store.is_recorded]
        for partition, foreign in self._foreign.items():
            waiting = [offset for offset, _ in self._foreign_waiting.get(partition, ())]
            offsets[partition] = min([offsets[partition], *waiting, *([foreign.first] if foreign.is_open() else ())])
        return {
            partition: min([offset, *(each.get(partition, 0) for each in candidates)])
            for partition, offset in offsets.items()
        }

    def is_idle(self) -> bool:
        """Returns whether no stream waits for further records."""
        return not self._pool_messages and not any(
            store.stream.is_waiting() for store in self.stores.values() if store.broken is None
        )

    def unsealed_seconds(self) -> float:
        """Returns how many seconds ago the oldest unsealed document arrived.

        Documents about receipts do not count alone.
        """
        starts = [
            store.draft.awaited
            for store in self.stores.values()
            if store.draft is not None and store.draft.awaited is not None
        ]
        return time.monotonic() - min(starts) if starts else 0.0
