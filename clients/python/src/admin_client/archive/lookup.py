"""Tells whether a record, whose number the archive has, is the one that was archived.

Each seal records the range of offsets of its object's records in each partition. A record at an offset outside of the
range is another record, whatever its bytes. A record within the range is compared with the document in the object.
"""

from dataclasses import dataclass

from admin_client.archive.draft import stored_lines
from admin_client.archive.errors import StreamBroken
from admin_client.archive.listing import Listing, Sealed
from admin_client.archive.records import Document
from admin_client.archive.storage import Storage
from admin_client.evidence import merkle

_MOST_PARTS = 4  # partitions that are read side by side are at different objects
_HASH_BYTES = 32


@dataclass
class _Part:
    """One sealed object: where its records were, and the leaf hashes of its documents once they are needed."""

    store: str
    sealed: Sealed
    ranges: dict[int, tuple[int, int]] | None  # None if the seal is of another topic
    leaves: bytes | None = None

    def has_number(self, store: str, number: int) -> bool:
        """Returns whether this number of the store is in the object."""
        seal = self.sealed.seal
        return store == self.store and bool(seal["first"] <= number <= seal["last"])

    def has_offset(self, document: Document) -> bool:
        """Returns whether the record may be one of the object's."""
        if self.ranges is None:
            return True
        first, last = self.ranges.get(document.partition, (0, -1))
        return first <= document.offset <= last


class Lookup:
    """Keeps the leaf hashes of the most recently used objects, because records are usually read in order."""

    def __init__(self, storage: Storage, listing: Listing, topic: str) -> None:
        self._storage, self._listing, self._topic = storage, listing, topic
        self._parts: list[_Part] = []  # the most recently used first

    def holds(self, store: str, number: int, document: Document) -> bool:
        """Returns whether this record was archived under the number.

        Raises Away, and StreamBroken if the archive cannot tell.
        """
        part = self._part(store, number)
        if not part.has_offset(document):
            return False
        if part.leaves is None:
            part.leaves = self._leaves(part.sealed)
        at = (number - part.sealed.seal["first"]) * _HASH_BYTES
        return part.leaves[at : at + _HASH_BYTES] == merkle.leaf_hash(document.body)

    def _part(self, store: str, number: int) -> _Part:
        for index, part in enumerate(self._parts):
            if part.has_number(store, number):
                if index:
                    self._parts.insert(0, self._parts.pop(index))
                return part
        # Reading in order needs the next object: one request instead of a search.
        following = max(
            (
                each.sealed.seal["last"] + 1
                for each in self._parts
                if each.store == store and each.sealed.seal["last"] < number
            ),
            default=None,
        )
        sealed = self._listing.seal_of(store, number, following)
        if sealed is None:
            raise StreamBroken(f"no seal has number {number}, and a later one is there")
        of_topic = [each for each in sealed.seal["kafka"] if each["topic"] == self._topic]
        part = _Part(
            store, sealed, {each["partition"]: (each["first"], each["last"]) for each in of_topic} if of_topic else None
        )
        self._parts = [part, *self._parts[: _MOST_PARTS - 1]]
        return part

    def _leaves(self, sealed: Sealed) -> bytes:
        key, tree, found = sealed.seal["object"], merkle.Accumulator(), list[bytes]()
        try:
            for lines in stored_lines(self._storage.chunks(key)):
                leaves = merkle.leaf_hashes(lines)
                tree.extend(leaves)
                found.append(b"".join(leaves))
        except KeyError:
            raise StreamBroken(f'"{key}" is not there') from None
        except ValueError as error:
            raise StreamBroken(f'"{key}" cannot be read: {error}') from None
        if tree.root().hex() != sealed.seal["merkle_root"]:
            raise StreamBroken(f'"{key}" holds other documents than its seal says')
        return b"".join(found)
