"""Streams that the archiver has stopped: why, and whether an operator has accepted it (doc/evidence.md, "Archive")."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ..evidence import seal
from .keys import Keys
from .report import Stream
from .safe import Unreadable, load_json, why
from .storage import Storage

NAME = re.compile(r"(?:.*/)?claims/([0-9a-f-]{36})/stopped-([0-9]{6})(\.accepted)?\.json")
SMALL = 1 << 20
Kept = dict[int, dict[bool, str]]
"""By number of the stop: the key of the stop (False) and of its acceptance (True)."""


def of_stores(keys: Iterable[str]) -> dict[str, Kept]:
    """The stops and acceptances among the keys of an archive, by store."""
    found: dict[str, Kept] = defaultdict(lambda: defaultdict(dict))
    for key in keys:
        if name := NAME.fullmatch(key):
            found[name[1]][int(name[2])][name[3] is not None] = key
    return found


def check(storage: Storage, kept: Kept, keys: Keys, stream: Stream) -> None:
    """Reports each stop of a store. A stop that no operator has accepted, or that was tampered with, is wrong."""
    for number in range(1, max(kept, default=0) + 1):
        keys_of_stop = kept.get(number, {})
        if False not in keys_of_stop:
            stream.findings.wrong(
                "stop-missing", f"the archiver's stop {number} of this store is missing: it was deleted or hidden"
            )
            continue
        stop = _read(storage, keys_of_stop[False], keys, stream, number)
        accepted = _read(storage, keys_of_stop[True], keys, stream, number) if True in keys_of_stop else None
        if stop is None:
            continue
        last = stop["last"] if type(stop.get("last")) is int else 0
        what = f"the archiver stopped behind number {last:,} at {stop.get('stopped_at')}: {stop.get('reason')}"
        if accepted is None:
            stream.findings.wrong("stopped", f"{what}; nobody has accepted that", last + 1)
        else:
            stream.findings.attention(
                "stopped", f"{what}; an operator accepted that at {accepted.get('accepted_at')}", last + 1
            )


def _read(storage: Storage, key: str, keys: Keys, stream: Stream, number: int) -> dict[str, Any] | None:
    """Returns what an archiver has signed. Otherwise returns None and reports a finding."""
    versions, name = list(storage.versions(key)), key.rsplit("/", 1)[-1]
    if len(versions) != 1 or versions[0].deleted:
        stream.findings.wrong(
            "stop-changed", f"object {name} was overwritten or hidden: it has {len(versions)} versions"
        )
        return None
    try:
        with storage.open(key, versions[0]) as file:
            found = load_json(file.read(SMALL))
        if (found["store"], found["stop"]) != (stream.store, number):
            raise Unreadable("it is of another store or stop")
        public_key = keys.known.get(found["key_id"])
        if keys and (public_key is None or not seal.is_signed_by(found, public_key)):
            raise Unreadable("it is not signed by a key that you trust")
    except (KeyError, TypeError, ValueError) as error:
        stream.findings.wrong("stop-changed", f"object {name} is not what an archiver leaves: {why(error)}")
        return None
    return dict(found)
