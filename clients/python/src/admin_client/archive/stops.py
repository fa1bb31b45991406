"""Records in the archive which streams have stopped, so that a later run neither forgets nor continues them.

A stop and its acceptance are signed and locked, like seals. A stop holds until an operator accepts it by its own
number. So an option that stays on a command line accepts no later stop.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from admin_client.archive.errors import OtherArchiver, Place, Refused, StreamBroken
from admin_client.archive.listing import Listing
from admin_client.archive.records import is_store
from admin_client.archive.storage import Exists, Storage, Version, now
from admin_client.evidence import seal

_NAME = re.compile(r"stopped-([0-9]{6})(\.accepted)?\.json")
_TYPE = "application/json"
_MOST_VERSIONS = 1000


@dataclass(frozen=True)
class Stop:
    """The newest stop of a store."""

    store: str
    count: int  # 1 for the first stop of the store
    reason: str
    place: Place | None  # the superfluous record, if there is one
    offsets: dict[int, int]  # where reading goes on after the acceptance
    accepted: dict[int, int] | None  # offsets below these were in the topic when it was


class Stops:
    """Reads and writes stops: `<prefix>/claims/<store>/stopped-….json`."""

    def __init__(self, storage: Storage, listing: Listing, prefix: str, topic: str, key: Ed25519PrivateKey) -> None:
        self._storage, self._listing, self._topic, self._key = storage, listing, topic, key
        self._prefix = f"{prefix}claims/"

    def stores(self) -> list[str]:
        """Returns the stores that may have a stop."""
        return [each for each in self._storage.folders(self._prefix) if is_store(each)]

    def newest(self, store: str) -> Stop | None:
        """Returns the newest stop of a store. Raises StreamBroken if it is not as an archiver writes it."""
        folder = f"{self._prefix}{store}/"
        found: dict[int, dict[bool, list[Version]]] = {}
        for version in self._versions(f"{folder}stopped-"):
            name = _NAME.fullmatch(version.key[len(folder) :])
            if name is not None:
                found.setdefault(int(name[1]), {False: [], True: []})[name[2] is not None].append(version)
        if not found:
            return None
        count = max(found)
        stop, accepted = (self._read(found[count][which], store, count) for which in (False, True))
        if stop is None:
            raise StreamBroken(f"the stop {count} has an acceptance only: it was hidden")
        record = stop["record"]
        try:
            place = None if record is None else Place(record["number"], record["partition"], record["offset"])
            return Stop(
                store,
                count,
                str(stop["reason"]),
                place,
                self._offsets(stop),
                None if accepted is None else self._offsets(accepted),
            )
        except (KeyError, TypeError):
            raise StreamBroken(f"the stop {count} is malformed") from None

    def _versions(self, prefix: str) -> Iterator[Version]:
        """Returns all versions, because anybody who can write to the bucket can put others before the newest."""
        after = ""
        while True:
            found = self._storage.versions(prefix, after, _MOST_VERSIONS)
            fresh = [each for each in found if each.key > after]  # some storages begin with the marker itself
            yield from fresh
            if len(found) < _MOST_VERSIONS or not fresh:
                return
            after = fresh[-1].key

    def _read(self, versions: list[Version], store: str, count: int) -> dict[str, Any] | None:
        """What an archiver has signed."""
        if not versions:
            return None
        key = versions[0].key
        if len(versions) > 1 or versions[0].is_marker:
            raise StreamBroken(f'"{key}" was overwritten or hidden: it has {len(versions)} versions')
        try:
            found: dict[str, Any] = json.loads(self._storage.get(key))
            public_key = self._listing.public_key(str(found["key_id"]))
            if (
                public_key is None
                or not seal.is_signed_by(found, public_key)
                or (found["store"], found["stop"], key) != (store, count, self._key_of(found))
            ):
                raise StreamBroken(
                    f'"{key}" is not signed by a key that is published in the archive, or is of another stop'
                )
        except (KeyError, TypeError, ValueError):
            raise StreamBroken(f'"{key}" is malformed') from None
        return found

    def _key_of(self, members: Mapping[str, Any]) -> str:
        ending = ".accepted.json" if "accepted_at" in members else ".json"
        return f"{self._prefix}{members['store']}/stopped-{members['stop']:06d}{ending}"

    def _offsets(self, members: Mapping[str, Any]) -> dict[int, int]:
        return {each["partition"]: each["offset"] for each in members["kafka"] if each["topic"] == self._topic}

    def stopped(
        self, store: str, count: int, last: int, reason: str, place: Place | None, offsets: dict[int, int]
    ) -> bytes:
        """The bytes of a stop after a number, for write()."""
        record = None if place is None else {"topic": self._topic, **place._asdict()}
        return self._signed(
            {
                "v": 1,
                "store": store,
                "stop": count,
                "last": last,
                "reason": reason,
                "record": record,
                "kafka": self._kafka(offsets),
                "stopped_at": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            }
        )

    def unaccepted(self, store: str, count: int) -> Stop | None:
        """Returns the stop that an operator wants to accept, or None if an earlier run has accepted it.

        Raises Refused.
        """
        stop = self.newest(store)
        if stop is None or count > stop.count:
            raise Refused(f"store {store} has no stop {count} that could be accepted")
        return None if count < stop.count or stop.accepted is not None else stop

    def accept(self, stop: Stop, ends: dict[int, int]) -> None:
        """Accepts a stop, and with it the second records that the topic holds below these offsets.  Raises Away."""
        self.write(
            self._signed(
                {
                    "v": 1,
                    "store": stop.store,
                    "stop": stop.count,
                    "kafka": self._kafka(ends),
                    "accepted_at": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                }
            )
        )

    def write(self, content: bytes) -> None:
        """Leaves a stop or an acceptance in the archive.  Raises Away."""
        key = self._key_of(json.loads(content))
        try:
            self._storage.put_bytes(key, content, _TYPE)
        except Exists:
            raise OtherArchiver(f'"{key}" was written by another archiver') from None

    def _kafka(self, offsets: dict[int, int]) -> list[dict[str, Any]]:
        return [
            {"topic": self._topic, "partition": partition, "offset": offset}
            for partition, offset in sorted(offsets.items())
        ]

    def _signed(self, members: dict[str, Any]) -> bytes:
        return seal.to_bytes(seal.sign(members, self._key))
