"""Compares the receipts in the trail with those in the database.

Each receipt leaves an event archive.receipt, which is delivered and sealed like any other. The event reveals a receipt
that was deleted or altered afterwards in the database's table.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from . import document
from .report import Report, Stream
from .safe import why

TYPE = "archive.receipt"
MARK = f'"type":"{document.TYPE_PREFIX}{TYPE}"'.encode()
TABLE = "create table if not exists told (receipt text primary key, store text not null, audit_id integer not null, last integer not null) without rowid"
RECEIPTS = """select json_build_array(r.store_id, r.sink, r.last_number::text, r.status, encode(r.chain, 'hex'), encode(r.seal_sha256, 'hex'), r.retain_until, r.location)::text as receipt,
r.store_id::text as store, r.sink, r.last_number, r.status from admin.archive_receipt as r"""
ARCHIVED = "select s.store_id::text as store, s.sink, s.archived_number from admin.archive_status as s"
MEMBERS = ("store", "sink", "last_number", "status", "chain", "seal_sha256", "retain_until", "location")
UNSOUND = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def _name(members: list[Any]) -> str:
    return json.dumps(members)


class Told:
    """Is given documents, then rows of one snapshot: the trail, receipts, and how far the database calls the trail archived."""

    def __init__(self, scratch: sqlite3.Connection, report: Report) -> None:
        scratch.execute(TABLE)
        self._scratch, self._report = scratch, report
        self._newest: dict[tuple[str, str], int] = {}

    def _add(self, data: Mapping[str, Any], store: str, audit_id: int) -> None:
        self._scratch.execute(
            "insert or ignore into told values (?, ?, ?, ?)",
            (_name([data[name] for name in MEMBERS]), store, audit_id, int(data["last_number"])),
        )

    def documents(self, stream: Stream, number: int, text: bytes) -> None:
        """Documents of a stream from this number on, each followed by a line feed."""
        if MARK not in text:
            return
        for at, line in enumerate(text.split(b"\n"), number):
            if MARK in line:
                self._document(stream, at, line)

    def _document(self, stream: Stream, number: int, line: bytes) -> None:
        try:
            found = document.read(line)
            event = found.event or {}
            if (
                found.own
                and event["type"] == document.TYPE_PREFIX + TYPE
                and event["source"] == document.OWN + stream.store
            ):
                self._add(event["data"], stream.store, found.audit_id)
        except UNSOUND as error:
            stream.findings.wrong(
                "receipt", f"document {number:,} records a receipt, and cannot be read: {why(error)}", number, number
            )

    def trail(self, row: Any) -> None:
        """A row of the trail, as the database has it."""
        if row["event_type"] != TYPE or row["source_event_id"] is not None:
            return
        try:
            self._add(json.loads(row["payload"]), "", row["audit_id"])
        except UNSOUND as error:
            self._report.findings.wrong(
                "receipt",
                f"the database's row with audit_id {row['audit_id']} records a receipt, and cannot be read: {why(error)}",
            )

    def receipt(self, row: Any) -> None:
        """A receipt that the database has."""
        self._scratch.execute("delete from told where receipt = ?", (_name(json.loads(row["receipt"])),))
        if row["status"] == "ok":
            place = (row["store"], row["sink"])
            self._newest[place] = max(self._newest.get(place, 0), row["last_number"])

    def archived(self, row: Any) -> None:
        """Takes how far the database calls a store's documents archived.

        The database stores this value beside the receipts.
        """
        store, sink, number = row["store"], row["sink"], row["archived_number"]
        newest = self._newest.get((store, sink), 0)
        if number is not None and number > newest:
            self._report.findings.wrong(
                "receipt",
                f"the database says that documents of store {store}, sink {sink}, are archived up to {number:,}, but its newest receipt is for {newest:,}: later ones were deleted",
                newest + 1,
                number,
            )
        elif newest and number != newest:
            self._report.findings.attention(
                "receipt",
                f"the database has a receipt for documents of store {store}, sink {sink}, up to {newest:,}, and says that they are archived up to {number or 0:,}: "
                "a dump was restored, or somebody has changed what it keeps of its receipts",
                number or 0,
                newest,
            )

    def judge(self, stores: set[str]) -> None:
        """stores: those of this database."""
        for store, audit_id, last in self._scratch.execute(
            "select store, audit_id, last from told order by audit_id, receipt"
        ):
            if not store or store in stores:
                self._report.findings.wrong(
                    "receipt",
                    f"the database recorded a receipt for documents up to {last:,} (event with audit_id {audit_id}), which no longer exists: it was deleted or altered",
                    1,
                    last,
                )
