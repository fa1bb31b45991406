"""Checks a proof file.  It needs no archive and no database, only a trusted key or its fingerprint."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..evidence import merkle
from . import seals, trust
from .contents import Contents
from .document import OWN
from .keys import Keys
from .report import NOTE, WRONG, CannotLook, Report, Stream, plural, stores_of
from .safe import load_json, why
from .scratch import scratch

ELSEWHERE = "elsewhere"
UNSOUND = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


def read(file: Path) -> dict[str, Any]:
    try:
        proof = load_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CannotLook(f'proof "{file}" cannot be read: {why(error)}') from error
    if (
        not isinstance(proof, dict)
        or proof.get("v") != 1
        or not all(
            isinstance(proof.get(name), kind)
            for name, kind in (("documents", list), ("seals", dict), ("keys", dict), ("about", dict))
        )
    ):
        raise CannotLook(f'"{file}" is no proof file of version 1')
    if not _is_about_one(proof["about"]) or not isinstance(proof.setdefault("timestamps", {}), dict):
        raise CannotLook(f'"{file}" does not say in the form of version 1 what it is about')
    return proof


def _is_about_one(about: dict[str, Any]) -> bool:
    """An approval, or one document."""
    if len(about) != 1:
        return False
    return isinstance(about.get("approval_id"), str) or type(about.get("number")) is int and about["number"] >= 1


def check(file: Path, keys: Keys, tsa_ca: str | None = None, stores: Sequence[str] = ()) -> Report:
    """Checks a proof. Never raises for what it finds."""
    report = Report()
    try:
        _check(read(file), str(file), keys, tsa_ca, report)
        _stores(report, {*stores})
    except CannotLook as error:
        report.problems.append(str(error))
    return report


def _stores(report: Report, meant: set[str]) -> None:
    """Checks that the stores are those that were meant."""
    trust.check_stores(report.streams, meant)
    if len(report.streams) > 1:
        report.findings.attention(
            "stores", f"the documents are of {stores_of(report.streams)}: does each of them continue the one before?"
        )


def _check(proof: dict[str, Any], name: str, keys: Keys, tsa_ca: str | None, report: Report) -> None:
    for key in proof["keys"].values():
        try:
            keys.offer(bytes.fromhex(key))
        except (TypeError, ValueError) as error:
            raise CannotLook(f'a key of proof "{name}" is no key') from error
    _distinct(proof["documents"], report)
    with scratch() as connection:
        contents = Contents(connection)
        for text in _in_order(proof, report):
            sealed = seals.parse(text, signed=True)
            stream = _stream(sealed, name, report, contents, proof)
            _seal(sealed, proof, keys, tsa_ca, stream, contents)
    documents = sum(stream.documents for stream in report.streams)
    if documents < len(proof["documents"]) and not report.count(WRONG):
        report.findings.wrong("proof", "documents of the proof name seals that it does not have")
    if not documents and not report.count(WRONG):
        report.findings.wrong("proof", "the proof has no documents")
    report.claim = _claim(proof, report, documents)


def _distinct(documents: list[Any], report: Report) -> None:
    """Checks that each document has a number, and occurs once."""
    met = set()
    for document in documents:
        if (
            not isinstance(document, dict)
            or type(document.get("number")) is not int
            or not isinstance(document.get("seal"), str)
        ):
            report.findings.wrong("proof", "a document of the proof has no number, or no seal")
        elif (place := (document["seal"], document["number"])) in met:
            report.findings.wrong("doubled", f"document {str(document['number'])[:40]} is in the proof twice")
        else:
            met.add(place)


def _in_order(proof: dict[str, Any], report: Report) -> list[bytes]:
    """The texts of the seals that can be read: by time, and within a store by number."""
    found = []
    for digest, text in proof["seals"].items():
        stored = str(text).encode()
        if hashlib.sha256(stored).hexdigest() != digest:
            report.findings.wrong("proof", f"seal {digest[:16]} of the proof is not what its name says")
            continue
        try:
            found.append(seals.parse(stored, signed=True))
        except seals.Malformed as error:
            report.findings.wrong("seal-malformed", f"seal {digest[:16]} of the proof {error}")
    found.sort(key=lambda sealed: (sealed.seal["sealed_at"], sealed.seal["first"]))
    begun: dict[str, int] = {}
    for sealed in found:
        begun.setdefault(sealed.seal["store"], len(begun))
    found.sort(key=lambda sealed: (begun[sealed.seal["store"]], sealed.seal["first"]))
    for before, sealed in pairwise(found):
        if before.seal["store"] == sealed.seal["store"] and sealed.seal["first"] <= before.seal["last"]:
            report.findings.wrong("doubled", f"two seals of the proof are of document {sealed.seal['first']:,}")
    return [sealed.text for sealed in found]


def _stream(sealed: seals.Sealed, name: str, report: Report, contents: Contents, proof: dict[str, Any]) -> Stream:
    for stream in report.streams:
        if stream.store == sealed.seal["store"]:
            return stream
    stream = Stream(name, "proof", sealed.seal["store"], sealed.seal["sink"])
    contents.begin(
        stream, 1 if "approval_id" in proof["about"] else 2, report.streams[-1].store if report.streams else None
    )
    report.streams.append(stream)
    return stream


def _seal(
    sealed: seals.Sealed, proof: dict[str, Any], keys: Keys, tsa_ca: str | None, stream: Stream, contents: Contents
) -> None:
    """A seal, and the documents that it is said to seal."""
    name = f"{sealed.seal['first']:020}-{sealed.seal['last']}"
    signed = seals.check_signature(sealed, keys, stream, name)
    stream.seals += 1
    if (stamp := proof["timestamps"].get(sealed.sha256)) is not None:
        try:
            seals.check_timestamp(sealed, base64.b64decode(stamp, validate=True), tsa_ca, stream, name)
        except (TypeError, ValueError):
            stream.findings.wrong(
                "timestamp",
                f"the timestamp of seal {name} in the proof cannot be read",
                sealed.seal["first"],
                sealed.seal["last"],
            )
    documents = [
        document
        for document in proof["documents"]
        if isinstance(document, dict) and document.get("seal") == sealed.sha256
    ]
    for document in sorted(documents, key=lambda document: str(document.get("number")).rjust(20)):
        try:
            _document(sealed, document, proof, stream, contents)
        except UNSOUND as error:
            stream.findings.wrong(
                "proof", f"document {document.get('number')} of the proof cannot be checked: {why(error)}"
            )
    if signed and not stream.findings.count(WRONG):
        stream.signed_to, stream.sealed_at = stream.last, sealed.seal["sealed_at"]


def _document(
    sealed: seals.Sealed, document: dict[str, Any], proof: dict[str, Any], stream: Stream, contents: Contents
) -> None:
    seal, number, text = sealed.seal, document["number"], document["document"].encode()
    leaf = hashlib.sha256(b"\x00" + text).digest()
    root = merkle.root_of_path(
        leaf,
        number - seal["first"],
        seal["last"] - seal["first"] + 1,
        [bytes.fromhex(node) for node in document["path"]],
    )
    stream.documents += 1
    if root.hex() != seal["merkle_root"]:
        stream.findings.wrong(
            "altered", f"document {number:,} is not the one that was sealed under this number", number, number
        )
        return
    about, event = proof["about"], load_json(text, twice=True)
    if event.get("subject") != about.get("approval_id", event.get("subject")) or number != about.get("number", number):
        stream.findings.wrong("proof", f"document {number:,} is not about what the proof is about", number, number)
    stream.first = stream.first or number
    stream.last = number
    contents(number, text + b"\n")
    if str(event["source"]).startswith(OWN):
        stream.findings.note(
            event["type"],
            f"document {number:,}, {event['time']}: {event.get('actor', '-')}{_said(event)}",
            number,
            number,
        )
    else:
        stream.findings.note(
            ELSEWHERE,
            f"document {number:,}, {event['time']}: {event['type']} (an event of {event['source']}): no step of the approval",
            number,
            number,
        )


def _said(event: dict[str, Any]) -> str:
    data = event["data"]
    if isinstance(data, dict) and "decision" in data:
        return f", asked {json.dumps(data.get('request'), ensure_ascii=False)}: {data['decision']}{', ' + data['reason'] if data.get('reason') else ''}"
    if isinstance(data, dict) and isinstance(data.get("row"), dict):
        row = data["row"]
        return f", {row.get('signer_role') or row.get('state')}"
    return ""


def _claim(proof: dict[str, Any], report: Report, documents: int) -> str:
    about = proof["about"]
    elsewhere = sum(stream.findings.counts[NOTE, ELSEWHERE] for stream in report.streams)
    sealed_at = max((stream.sealed_at or "" for stream in report.streams), default="")
    if "approval_id" in about:
        decisions, unknown = (
            sum(stream.decisions for stream in report.streams),
            sum(stream.unknown_decisions for stream in report.streams),
        )
        rest = f"; of {plural(unknown, 'decision')} the beginning is not here" if unknown else ""
        if elsewhere:
            rest += f"; {plural(elsewhere, 'document')} among them {'is an event' if elsewhere == 1 else 'are events'} of another source, and no step"
        return (
            f"PROVED: these {plural(documents, 'document')} of {about['approval_id']} are genuine, of {stores_of(report.streams)}, sealed by {sealed_at}, signed by a key you trust; "
            f"steps and {plural(decisions, 'decision')} follow from each other{rest}. That nothing was left out, a proof cannot say: ask for the archive."
        )
    return f"PROVED: document {about.get('number')} of {stores_of(report.streams)} is genuine: it was sealed by {sealed_at} in this wording and place, signed by a key you trust.{' It is an event of another source: that it was received is proved, not what it says.' if elsewhere else ''}"
