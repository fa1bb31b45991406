"""Checks one seal: whether it is sound, whose it is, and whether it follows from the one before."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..evidence import seal as sealing
from .keys import Keys
from .report import Stream
from .safe import Unreadable, load_json, why

CLOCK_TOLERANCE = timedelta(minutes=5)
TIMESTAMP_TOLERANCE = timedelta(hours=1)
MOST = 2**63 - 1
HASH = re.compile(r"[0-9a-f]{64}")
RECORDED = re.compile(rb'"recordedtime":"([^"\\]*)"')
"""When a document was recorded.  Its data may be nested more deeply than a parser goes."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HASHES = ("chain_before", "chain_after")
_SIGNED_HASHES = (*_HASHES, "merkle_root", "sha256", "key_id")
Seal = dict[str, Any]


class Malformed(Unreadable):
    """What is wrong with a seal that cannot be read."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A seal, and the bytes it was read from."""

    seal: Seal
    text: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text).hexdigest()


def parse(text: bytes, signed: bool) -> Sealed:
    """signed: a seal of the archive; otherwise a line of the seals of NDJSON files.  Raises Malformed."""
    try:
        seal = load_json(text)
        canonical = sealing.to_bytes(seal) if signed and isinstance(seal, dict) else text
    except (ValueError, RecursionError) as error:
        raise Malformed(f"cannot be read: {why(error)}") from error
    if not isinstance(seal, dict) or type(seal.get("v")) is not int or seal["v"] != 1:
        raise Malformed("is not of version 1")
    if canonical != text:
        raise Malformed("is not stored in the form that is signed: sorted, without white space")
    for name in _SIGNED_HASHES if signed else (*_HASHES, "sha256"):
        if name == "sha256" and not signed and name in seal and seal[name] is None:
            continue
        if not isinstance(seal.get(name), str) or not HASH.fullmatch(seal[name]):
            raise Malformed(f"has no {name}")
    for name in ("first", "last", "bytes"):
        if type(seal.get(name)) is not int or not 0 <= seal[name] <= MOST:
            raise Malformed(f"has no {name}")
    if (
        not isinstance(seal.get("store"), str)
        or not UUID.fullmatch(seal["store"])
        or not isinstance(seal.get("sink"), str)
    ):
        raise Malformed("does not name store and sink")
    batches = seal.get("batches")
    if (
        batches is None and not signed and "batches" in seal and 1 <= seal["first"] <= seal["last"]
    ):  # somebody has removed the database's links
        check_continues(seal)
        return Sealed(seal, text)
    if not isinstance(batches, list) or not all(type(size) is int and size > 0 for size in batches):
        raise Malformed("has no batches")
    if not 1 <= seal["first"] <= seal["last"] or sum(batches) != seal["last"] - seal["first"] + 1:
        raise Malformed("has numbers and batches that do not fit each other")
    check_continues(seal)
    if signed:
        instant(seal)
    return Sealed(seal, text)


def check_continues(seal: Seal) -> None:
    """What the first seal of a store says of the store before.  Raises Malformed."""
    if "continues" not in seal:
        return
    continued = seal["continues"]
    if not isinstance(continued, dict) or type(continued.get("last")) is not int or not 0 <= continued["last"] <= MOST:
        raise Malformed("does not say what it continues")
    if not all(
        isinstance(continued.get(name), str) and form.fullmatch(continued[name])
        for name, form in (("store", UUID), ("chain", HASH))
    ):
        raise Malformed("does not say what it continues")


def instant(seal: Seal) -> datetime:
    """When it was made.  Raises Malformed."""
    try:
        at = datetime.fromisoformat(seal["sealed_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed("does not say when it was made") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def check_signature(sealed: Sealed, keys: Keys, stream: Stream, name: str) -> bool:
    """Checks that the seal is signed by a trusted key. Without any trusted key, that stays open."""
    seal = sealed.seal
    if seal["key_id"] not in stream.keys and len(stream.keys) < 100:
        stream.keys.append(seal["key_id"])
    if not keys:
        stream.untrusted = True
        return True
    key = keys.known.get(seal["key_id"])
    if key is None:
        stream.findings.wrong(
            "key", f"seal {name} is of key {seal['key_id']}, which you do not trust", seal["first"], seal["last"]
        )
    elif not sealing.is_signed_by(seal, key):
        stream.findings.wrong(
            "signature",
            f"seal {name} was changed after it was signed, or was not signed with the key it names",
            seal["first"],
            seal["last"],
        )
    else:
        return True
    return False


def check_previous(sealed: Sealed, before: Sealed | None, stream: Stream, name: str) -> None:
    """Checks that the seal follows from the one before, by hash and by clock."""
    seal = sealed.seal
    named = seal.get("previous_seal_sha256")
    if before is None:
        if named is not None and seal["first"] == 1:
            stream.findings.wrong(
                "seals", f"seal {name} is the first, and names one before it", seal["first"], seal["last"]
            )
        return
    if named != before.sha256:
        stream.findings.wrong(
            "seals",
            f"seal {name} does not follow from the seal before it, of numbers {before.seal['first']:,} to {before.seal['last']:,}: "
            "a seal was removed or exchanged",
            seal["first"],
            seal["last"],
        )
    if instant(before.seal) - instant(seal) > CLOCK_TOLERANCE:
        stream.findings.wrong(
            "clock",
            f"seal {name} says that it was made at {seal['sealed_at']}, before the seal that it follows, of {before.seal['sealed_at']}: "
            "the archiver's clock was set back",
            seal["first"],
            seal["last"],
        )


def check_recorded(sealed: Sealed, found: bytes, stream: Stream, name: str) -> None:
    """Checks that the object's last document was recorded before the seal was made. found: what
    RECORDED finds in it.
    """
    try:
        recorded = datetime.fromisoformat(found.decode())
        late = recorded - instant(sealed.seal) > CLOCK_TOLERANCE
    except (KeyError, TypeError, ValueError, OverflowError):
        stream.findings.wrong(
            "malformed", f"the last document of seal {name} cannot be read", sealed.seal["last"], sealed.seal["last"]
        )
        return
    if late:
        stream.findings.wrong(
            "clock",
            f"seal {name} says that it was made at {sealed.seal['sealed_at']}, but it seals a document of {recorded.isoformat()}: "
            "a clock was set back",
            sealed.seal["last"],
            sealed.seal["last"],
        )


def check_timestamp(sealed: Sealed, response: bytes, authority: str | None, stream: Stream, name: str) -> None:
    """An RFC 3161 response over the seal's bytes, by OpenSSL, against the certificates of an authority."""
    program = shutil.which("openssl")
    if authority is None or program is None:
        why = (
            "no certificate of the authority was given (--tsa-ca)"
            if authority is None
            else 'the program "openssl" is not installed'
        )
        stream.findings.note("timestamp", f"seal {name} has a timestamp, which was not checked: {why}")
        return
    with tempfile.TemporaryDirectory(prefix="admin_verify.") as directory:
        data, token = Path(directory) / "seal", Path(directory) / "tsr"
        data.write_bytes(sealed.text)
        token.write_bytes(response)
        verified = subprocess.run(
            [program, "ts", "-verify", "-in", token, "-data", data, "-CAfile", authority], capture_output=True
        )
        said = subprocess.run([program, "ts", "-reply", "-in", token, "-text"], capture_output=True, text=True).stdout
    if verified.returncode:
        stream.findings.wrong(
            "timestamp",
            f"the timestamp of seal {name} is not of this seal, or not by the authority that you trust",
            sealed.seal["first"],
            sealed.seal["last"],
        )
        return
    stream.timestamps += 1
    found = re.search(r"^Time stamp: (.+) GMT$", said, re.MULTILINE)
    if found is None:
        stream.findings.wrong("timestamp", f"the timestamp of seal {name} has no time")
        return
    clock = found.group(1).split(".")[0]
    stamped = datetime.strptime(
        " ".join(clock.split() if "." not in found.group(1) else [clock, found.group(1).rsplit(" ", 1)[1]]),
        "%b %d %H:%M:%S %Y",
    ).replace(tzinfo=UTC)
    if abs(stamped - instant(sealed.seal)) > TIMESTAMP_TOLERANCE:
        stream.findings.wrong(
            "clock",
            f"seal {name} says that it was made at {sealed.seal['sealed_at']}, its timestamp says {stamped.isoformat()}",
            sealed.seal["first"],
            sealed.seal["last"],
        )
