"""Finds what the archive has, by listing and by claims, never from remembered state."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from admin_client.archive.errors import StreamBroken, Untrustworthy
from admin_client.archive.keys import public_bytes
from admin_client.archive.records import is_store
from admin_client.archive.storage import Storage, Version
from admin_client.evidence import seal

DIGITS = 20
_NAME = re.compile(r"([0-9]{20})-([0-9]{1,19})\.(ndjson\.zst|seal\.json|tsr)")
_HIGHEST = 2**63
_LARGEST_PAGE = 1000
# Allows a million foreign keys between two objects.
_MOST_PAGES = 1000
OBJECT, SEAL, TIMESTAMP = "ndjson.zst", "seal.json", "tsr"


def name(first: int, last: int, ending: str) -> str:
    """The last part of a key."""
    return f"{first:0{DIGITS}d}-{last}.{ending}"


@dataclass(frozen=True)
class Sealed:
    """The newest seal of a store."""

    seal: dict[str, Any]
    sha256: str
    key: str
    has_timestamp: bool


class Listing:
    """Finds the newest objects of a folder without listing the folder: names sort by their first number."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage, self._prefix = storage, prefix
        self._keys: dict[str, bytes | None] = {}

    def stores(self) -> list[str]:
        """The stores that have a folder."""
        return [each for each in self._storage.folders(self._prefix) if is_store(each)]

    def public_key(self, key_id: str) -> bytes | None:
        """The 32 bytes of a key that is published in the archive."""
        if key_id not in self._keys and re.fullmatch("[0-9a-f]{64}", key_id):
            try:
                found = public_bytes(self._storage.get(f"{self._prefix}keys/{key_id}.pem"))
                self._keys[key_id] = found if seal.key_id(found) == key_id else None
            except (KeyError, ValueError):
                return None
        return self._keys.get(key_id)

    def _pages(self, prefix: str, after: str, first_page: int) -> Iterator[list[Version]]:
        """Lists keys after a key, page by page. Pages grow, and there are at most _MOST_PAGES. Raises Untrustworthy."""
        size = first_page
        for _ in range(_MOST_PAGES):
            page = self._storage.versions(prefix, after, size)
            behind = [each for each in page if each.key > after]  # versitygw lists the last key of a folder once more
            if behind:
                yield behind
                after = behind[-1].key
            elif len(page) < size:
                return
            elif size == _LARGEST_PAGE:
                raise Untrustworthy(f'the storage lists "{page[-1].key}" again behind "{after}"')
            size = min(size * 4, _LARGEST_PAGE)
        raise Untrustworthy(f'there are too many keys behind "{after}" that are no objects of an archive: remove them')

    def _first_after(self, folder: str, number: int) -> int | None:
        """Returns the first number of the next object that begins at `number` or later.

        Skips foreign keys. Raises Untrustworthy.
        """
        for page in self._pages(folder, f"{folder}{number:0{DIGITS}d}", 1):
            for each in page:
                match = _NAME.fullmatch(each.key[len(folder) :])
                if match is not None and int(match[1]) >= number:
                    return int(match[1])
        return None

    def newest_first(self, folder: str, below: int = _HIGHEST) -> int | None:
        """Returns the highest first number below a bound.

        The number of requests grows with the logarithm of the archive.
        """
        low = self._first_after(folder, 0)
        if low is None or low >= below:
            return None
        step = 1
        while (found := self._first_after(folder, low + step)) is not None and found < below:
            low, step = found, step * 2
        high = low + step
        while low + 1 < high:
            middle = (low + high) // 2
            found = self._first_after(folder, middle)
            if found is None or found >= below:
                high = middle
            else:
                low = found
        return low

    def versions(self, folder: str, first: int) -> list[Version]:
        """Returns all versions of the archive's objects that begin with this number."""
        return [
            each
            for page in self._pages(f"{folder}{first:0{DIGITS}d}-", "", _LARGEST_PAGE)
            for each in page
            if _NAME.fullmatch(each.key[len(folder) :])
        ]

    def newest_foreign(self, folder: str) -> int | None:
        """The last offset of the newest foreign object of a partition."""
        first = self.newest_first(folder)
        if first is None:
            return None
        names = (_NAME.fullmatch(each.key[len(folder) :]) for each in self.versions(folder, first))
        return max((int(match[2]) for match in names if match), default=None)

    def newest_seal(self, store: str) -> Sealed | None:
        """Returns the newest seal of a store. Raises StreamBroken if it is not as an archiver writes it."""
        folder = f"{self._prefix}{store}/"
        first = self.newest_first(folder)
        while first is not None:
            versions = self.versions(folder, first)
            seals = [each for each in versions if each.key.endswith(f".{SEAL}")]
            if seals:
                return self._read(folder, seals, any(each.key.endswith(f".{TIMESTAMP}") for each in versions))
            first = self.newest_first(folder, first)  # the archiver stopped between an object and its seal
        return None

    def seal_of(self, store: str, number: int, guess: int | None) -> Sealed | None:
        """Returns the seal of the object that has a number.

        Tries the object that begins at the guess first. Raises StreamBroken.
        """
        folder = f"{self._prefix}{store}/"
        first = guess if guess is not None else self.newest_first(folder, number + 1)
        while first is not None:
            names = [(each, _NAME.fullmatch(each.key[len(folder) :])) for each in self.versions(folder, first)]
            ends = {int(match[2]): each for each, match in names if match and match[3] == SEAL}
            if ends and max(ends) >= number:
                return self._read(folder, [each for each, match in names if match and match[3] == SEAL], False, "seal")
            if ends and guess is None:
                return None
            first, guess = self.newest_first(folder, number + 1 if guess is not None else first), None
        return None

    def _read(self, folder: str, seals: list[Version], has_timestamp: bool, which: str = "newest seal") -> Sealed:
        key = seals[0].key
        if len(seals) > 1 or seals[0].is_marker:
            raise StreamBroken(f'the {which}, "{key}", was overwritten or hidden: it has {len(seals)} versions')
        content = self._storage.get(key)
        try:
            found = json.loads(content)
            public_key = self.public_key(str(found["key_id"]))
            if public_key is None or not seal.is_signed_by(found, public_key):
                raise StreamBroken(f'the {which}, "{key}", is not signed by a key that is published in the archive')
            if f"{folder}{name(found['first'], found['last'], SEAL)}" != key:
                raise StreamBroken(f'the {which}, "{key}", is of another object')
            bytes.fromhex(found["chain_after"])
        except (KeyError, TypeError, ValueError):
            raise StreamBroken(f'the {which}, "{key}", is malformed') from None
        return Sealed(found, seal.hash_of(content), key, has_timestamp)


class Claims:
    """Records which number an object ends with before the object is written.

    Without a claim two archivers, or two runs of one, could end objects differently. One document would then be in two
    objects.
    """

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage, self._prefix = storage, f"{prefix}claims/"

    def _key(self, folder: str, first: int) -> str:
        return f"{self._prefix}{folder}/{first:0{DIGITS}d}.json"

    def end(self, folder: str, first: int) -> int | None:
        """Returns the last number of the object that begins with this one, or None if it is not claimed."""
        try:
            claim = json.loads(self._storage.get(self._key(folder, first)))
            last = claim["last"]
        except KeyError:
            return None
        except (TypeError, ValueError):
            raise StreamBroken(f'the claim "{self._key(folder, first)}" is malformed') from None
        if type(last) is not int or last < first:
            raise StreamBroken(f'the claim "{self._key(folder, first)}" is malformed')
        return last

    def make(self, folder: str, first: int, last: int) -> None:
        """Makes a claim. Raises Exists if another end is claimed."""
        body = json.dumps({"v": 1, "first": first, "last": last}, separators=(",", ":")).encode()
        self._storage.put_bytes(self._key(folder, first), body, "application/json")
