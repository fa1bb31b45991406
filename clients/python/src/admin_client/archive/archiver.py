"""The archiver's life: finding what the archive has, where to read on, the main loop, and the end."""

import dataclasses
import datetime
import logging
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from admin_client.archive import bucket_check, hints, keys, reader, timestamps
from admin_client.archive.backoff import Away, Patience
from admin_client.archive.draft import Draft
from admin_client.archive.errors import STATUS_BROKEN, Refused, Rewind, StreamBroken
from admin_client.archive.listing import SEAL, TIMESTAMP, Listing, Sealed
from admin_client.archive.metrics import Metrics
from admin_client.archive.objects import TIMESTAMP_TYPE, Objects, Receipt
from admin_client.archive.receipts import Receipts
from admin_client.archive.session import Session, Sink
from admin_client.archive.settings import Settings
from admin_client.archive.stops import Stop, Stops
from admin_client.archive.storage import Exists, Storage, now
from admin_client.archive.stores import Store
from admin_client.evidence import seal

_log = logging.getLogger(__name__)
_READ_SECONDS = 0.2
_UPKEEP_SECONDS = 1.0
_PROGRESS_SECONDS = 10.0
_HINT_SECONDS = 60.0
_KEY_DAYS = 30
_MOST_TIMESTAMPS = 1000
_LAST_TRIES_SECONDS = 10.0


class Archiver(Sink):
    """One process that archives one topic."""

    def __init__(self, settings: Settings, key: Ed25519PrivateKey) -> None:
        self._settings, self._key, self.metrics = settings, key, Metrics()
        self._place = f"{settings.bucket}/{settings.prefix}"
        self._storage = Storage(
            settings.bucket,
            settings.endpoint,
            settings.retention,
            lambda outcome: self.metrics.requests.labels(outcome).inc(),
        )
        self._patience = Patience(self._idle)
        self._objects = Objects(self._storage, settings.prefix, settings.topic, key, self._patience)
        self._listing = Listing(self._storage, settings.prefix)
        self._stops = Stops(self._storage, self._listing, settings.prefix, settings.topic, key)
        self._receipts = Receipts(settings.dsn)
        self._timestamps: list[tuple[str, bytes]] = []
        self._session: Session | None = None
        self._key_extended = now()
        self._upkeep_at = self._progress_at = self._hint_at = self._timestamp_at = 0.0
        self._progress_records = 0

    def run(self) -> int:
        """Archives until it is stopped, or to the end of the topic. Returns the exit status.

        After an exception the Kafka handles stay open: closing one may take a minute while the broker is away.
        """
        if self._settings.metrics_port is not None:
            try:
                self.metrics.serve(self._settings.metrics_port)
            except OSError as error:
                raise Refused(f"could not listen on port {self._settings.metrics_port}: {error.strerror}") from None
        self._patience.until(lambda: bucket_check.check(self._storage, self._settings.prefix), "checking the bucket")
        self._patience.until(self._publish_key, "publishing the key")
        for from_beginning in (False, True):
            topic = reader.Reader(
                self._settings.topic,
                reader.settings(self._settings.brokers, self._settings.group, self._settings.kafka_options),
            )
            try:
                self._session = self._patience.until(
                    lambda: self._begin(topic, from_beginning), "looking where to read on"
                )
                self._loop(self._session)
                topic.close()
                return self.status()
            except Rewind as reason:
                _log.warning("%s; reading the topic again from its beginning", reason)
                topic.close()
        raise AssertionError("a session from the beginning is not rewound")

    def status(self) -> int:
        """0, or the status of a broken stream."""
        broken = [store for store in self._session.stores.values() if store.broken] if self._session else []
        for store in broken:
            _log.error("store %s: the stream has stopped: %s", store.name, store.broken)
        return STATUS_BROKEN if broken else 0

    def _publish_key(self) -> None:
        public = self._key.public_key()
        key = f"{self._settings.prefix}keys/{seal.key_id(public.public_bytes_raw())}.pem"
        try:
            until = self._storage.put_bytes(key, keys.public_pem(public), "application/x-pem-file")
        except Exists:
            raise Refused(f'"{key}" is not the key with this name') from None
        if until < self._settings.retention.end(now() - datetime.timedelta(days=1)):
            self._storage.extend(key)
        self._key_extended = now()

    def _begin(self, topic: reader.Reader, from_beginning: bool) -> Session:
        """Finds what the archive has and where the topic is. Raises Away."""
        partitions = topic.partitions()
        marks = {each: topic.watermarks(each) for each in partitions}
        ends = {each: high for each, (_, high) in marks.items()}
        session = Session(self._settings, topic, self._objects, self._listing, self.metrics, self)
        folder = f"{self._settings.prefix}foreign/{self._settings.topic}"
        foreign = {each: self._listing.newest_foreign(f"{folder}/{each}/") for each in partitions}
        stores = self._stores(ends)
        asked = [self._stops.unaccepted(name, count) for name, count in self._settings.accepted]
        accepted = {stop.store: stop for stop in asked if stop is not None}
        for name in sorted({*stores, *self._stops.stores()}):
            self._honour(name, stores, ends if name in accepted else None)
        session.open(stores, {each: -1 if last is None else last for each, last in foreign.items()})
        offsets = {each: low for each, (low, _) in marks.items()}
        if not from_beginning:
            offsets = self._offsets(topic, marks)
        for stop in accepted.values():
            offsets = {
                each: max(marks[each][0], min(offset, stop.offsets.get(each, offset)))
                for each, offset in offsets.items()
            }
        session.is_rewindable = any(offsets[each] > marks[each][0] for each in partitions)
        topic.start(offsets)
        if accepted:
            topic.commit_surely(hints.sign(self._key, self._place, self._settings.topic, offsets))
        for stop in accepted.values():  # not before: the next run has to begin there, too
            self._stops.accept(stop, ends)
            _log.warning(
                "store %s: stop %d is accepted, and the stream goes on; it was: %s", stop.store, stop.count, stop.reason
            )
        _log.info(
            "reading topic %s from %s",
            self._settings.topic,
            ", ".join(f"{each}:{offset}" for each, offset in sorted(offsets.items())),
        )
        return session

    def _stores(self, ends: dict[int, int]) -> dict[str, Store]:
        stores: dict[str, Store] = {}
        for name in self._listing.stores():
            sealed = None
            try:
                sealed = self._listing.newest_seal(name)
            except StreamBroken as reason:
                stores[name] = Store(name, self._objects, None)
                self._tell(stores[name].stop(str(reason), dict.fromkeys(ends, 0)))
                continue
            stores[name] = Store(name, self._objects, sealed)
            if sealed is not None:
                self._repeat(name, sealed)
        return stores

    def _honour(self, name: str, stores: dict[str, Store], accepted: dict[int, int] | None) -> None:
        """Keeps a stream stopped that an earlier run has stopped, until an operator accepts the stop.

        accepted: by partition, the offsets up to which this run accepts second records; None if this run accepts
        nothing.
        """
        stop: Stop | None = None
        try:
            stop = self._stops.newest(name)
            if stop is None:
                return
            reason = stop.reason
            words = f"{reason}; stop {stop.count} of this store, found by an earlier run, and not accepted (--accept-broken {name}:{stop.count})"
        except StreamBroken as error:
            reason = words = str(error)
        store = stores.setdefault(name, Store(name, self._objects, None))
        if stop is not None:
            accepted = stop.accepted if accepted is None else accepted
            store.stops, store.accepted = stop.count, accepted or {}
        if store.broken is None and (stop is None or accepted is None):
            receipt = store.stop(words, stop.offsets if stop else {}, stop.place if stop else None)
            self._tell(dataclasses.replace(receipt, location=reason))  # the database has the stop already
            store.is_recorded = True

    def _repeat(self, name: str, sealed: Sealed) -> None:
        """Repeats what an earlier run may have left undone after its newest seal: the receipt and the timestamp."""
        found = sealed.seal
        _log.info("store %s: archived up to number %d", name, found["last"])
        self.metrics.last_number.labels(name).set(found["last"])
        self._receipts.add(
            Receipt(
                name,
                found["sink"],
                found["last"],
                bytes.fromhex(found["chain_after"]),
                sealed.sha256,
                self._storage.retained_until(sealed.key),
                f"s3://{self._settings.bucket}/{sealed.key}",
            )
        )
        if self._settings.tsa and not sealed.has_timestamp:
            self._timestamps.append((sealed.key, self._storage.get(sealed.key)))

    def _offsets(self, topic: reader.Reader, marks: dict[int, tuple[int, int]]) -> dict[int, int]:
        """Returns where to read on: at the archiver's own signed hints, else at the beginning.

        The seals cannot tell. Foreign records, and records of other stores, that are in no object yet may precede their
        offsets.
        """
        committed = topic.hints(sorted(marks))
        offsets = {}
        for partition, (low, high) in marks.items():
            hint = committed.get(partition)
            key_id = hints.key_id_of(hint) if hint else None
            public = self._listing.public_key(key_id) if key_id else None
            is_ours = hint and public and hints.is_signed_by(public, hint, self._place, self._settings.topic, partition)
            offsets[partition] = hint.offset if hint and is_ours and low <= hint.offset <= high else low
        return offsets

    def _loop(self, session: Session) -> None:
        target = (
            self._patience.until(session.reader.ends, "asking where the topic ends")
            if self._settings.until_end
            else None
        )
        self._progress_at, self._progress_records = time.monotonic(), 0
        while True:
            session.step(_READ_SECONDS)
            if time.monotonic() >= self._upkeep_at:
                session.check_stalls()
                self._upkeep(session)
            if (
                target is not None
                and session.is_idle()
                and all(session.reader.position.get(each, 0) >= end for each, end in target.items())
            ):
                session.write_all()
                self._finish(session)
                return

    def _finish(self, session: Session) -> None:
        """Tries for a few seconds to send the last receipts and to get the last timestamps."""
        self._commit(session)
        deadline = time.monotonic() + _LAST_TRIES_SECONDS
        while (self._receipts or self._timestamps) and time.monotonic() < deadline:
            self._receipts.send()
            self._ask_timestamps()
            session.reader.read(_READ_SECONDS)
        session.reader.read(_READ_SECONDS)

    def _idle(self) -> None:
        """Keeps the metrics up to date while the archiver waits for the storage."""
        if self._session is not None:
            self._measure(self._session)
        self._receipts.send()

    def _measure(self, session: Session) -> None:
        self.metrics.lag.set(session.reader.lag())
        self.metrics.oldest.set(session.unsealed_seconds())
        self.metrics.receipts.set(len(self._receipts))

    def _upkeep(self, session: Session) -> None:
        """Runs the tasks of every second."""
        at = time.monotonic()
        self._upkeep_at = at + _UPKEEP_SECONDS
        self._measure(session)
        self._receipts.send()
        self._ask_timestamps()
        if at >= self._hint_at:
            self._commit(session)
        if at - self._progress_at >= _PROGRESS_SECONDS:
            read = session.records - self._progress_records
            if read:
                _log.info(
                    "%d records read, %.0f a second; %d to go",
                    read,
                    read / (at - self._progress_at),
                    session.reader.lag(),
                )
            self._progress_at, self._progress_records = at, session.records
        if now() - self._key_extended > datetime.timedelta(days=_KEY_DAYS):
            self._patience.until(self._publish_key, "locking the key for longer")

    def _commit(self, session: Session) -> None:
        """Commits a signed hint where to read on."""
        self._hint_at = time.monotonic() + _HINT_SECONDS
        session.reader.commit(hints.sign(self._key, self._place, self._settings.topic, session.resume()))

    def _ask_timestamps(self) -> None:
        """Asks for one missing timestamp. If the authority does not answer, the next attempt is delayed."""
        if not self._timestamps or self._settings.tsa is None or time.monotonic() < self._timestamp_at:
            return
        key, content = self._timestamps[0]
        try:
            answer = timestamps.ask(self._settings.tsa, content)
            self._storage.put_bytes(key.removesuffix(SEAL) + TIMESTAMP, answer, TIMESTAMP_TYPE)
        except Exists:
            _log.info("%s has a timestamp already", key)
        except Away as reason:
            _log.warning("%s: %s", key, reason)
            self._timestamp_at = time.monotonic() + _PROGRESS_SECONDS
            return
        del self._timestamps[0]

    def sealed(self, receipt: Receipt, content: bytes, draft: Draft) -> None:
        """Counts and logs a sealed object, and tells the database."""
        labels = self.metrics
        labels.objects.labels(receipt.store).inc()
        labels.documents.labels(receipt.store).inc(draft.last - draft.first + 1)
        labels.bytes.labels(receipt.store).inc(draft.documents_bytes)
        labels.last_number.labels(receipt.store).set(receipt.last)
        labels.sealed_at.set_to_current_time()
        _log.info("store %s: sealed %d to %d, %d bytes", receipt.store, draft.first, draft.last, draft.documents_bytes)
        self._receipts.add(receipt)
        self._receipts.send()
        if self._settings.tsa and len(self._timestamps) < _MOST_TIMESTAMPS:
            self._timestamps.append((receipt.location.split("/", 3)[3], content))
            self._ask_timestamps()
        self._hint_at = 0.0

    def stopped(self, receipt: Receipt, store: Store) -> None:
        """Records in the archive that a stream is broken, so that the next run does not continue it.

        Then logs it and tells the database.
        """
        store.stops += 1
        content = self._stops.stopped(
            store.name, store.stops, receipt.last, receipt.location, store.cause, store.resume({})
        )
        self._patience.until(
            lambda: self._stops.write(content), f"writing that the stream of store {store.name} has stopped"
        )
        store.is_recorded = True
        _log.error(
            'store %s: this is stop %d of the store; what to do is in doc/archive.md, "A stream has stopped" (--accept-broken %s:%d)',
            store.name,
            store.stops,
            store.name,
            store.stops,
        )
        self._tell(receipt)

    def _tell(self, receipt: Receipt) -> None:
        self.metrics.broken.labels(receipt.store).set(1)
        self._receipts.add(receipt)
