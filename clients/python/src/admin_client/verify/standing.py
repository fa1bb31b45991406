"""Compares the approvals in the database with those that the documents lead to.

A row that was written without the triggers leaves no document, so the trail alone does not reveal it. Rows of the trail
that are not yet at the source are replayed first, because the approvals reflect them, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..parity import instant
from . import approvals
from .approvals import Row, State
from .contents import UNSOUND, Contents, Lineage
from .forms import DATA, STEPS
from .report import Report, plural
from .safe import Unreadable, why

STORES = """select s.store, to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as asked_at
from (select store_id::text, 0 from admin.store union all select store_id::text, 1 from admin.sink_position
    union all select continued_store_id::text, 2 from admin.sink_position where continued_store_id is not null) as s (store, place)
group by s.store order by min(s.place)"""
APPROVALS = """select coalesce(a.approval_id, s.approval_id) as approval_id, to_jsonb(a)::text as approval, coalesce(s.signatures, '[]') as signatures
from admin.approval as a full join (select g.approval_id, jsonb_agg(jsonb_build_array(g.signer_role, g.signer, encode(g.approval_digest, 'hex')))::text as signatures
    from admin.signature as g group by g.approval_id) as s on s.approval_id = a.approval_id
order by coalesce(a.approval_id, s.approval_id) collate "C" """
INSTANTS = frozenset(("sla_deadline", "created_at", "updated_at", "closed_at"))


def _same(name: str, one: Any, two: Any) -> bool:
    """Instants are written in more than one way."""
    if one == two or name not in INSTANTS or not isinstance(one, str) or not isinstance(two, str):
        return bool(one == two)
    try:
        return instant.parse(one) == instant.parse(two)
    except ValueError:
        return False


class Standing:
    """Takes the rows of a snapshot: stores, then the trail, then approvals in order."""

    def __init__(self, report: Report, contents: Contents) -> None:
        self._findings, self._report, self._contents = report.findings, report, contents
        self._lineage: Lineage | None = None
        self._expected: Iterator[tuple[str, State]] | None = None
        self._next: tuple[str, State] | None = None
        self._asked_at = ""
        self._on_the_way: set[str] = set()
        self._approvals = self._signatures = self._unknown = 0

    def store(self, row: Any) -> None:
        self._asked_at = row["asked_at"]
        self._lineage = self._lineage or self._contents.lineage_of(row["store"])

    # -- the trail ----------------------------------------------------------------------------------------------------

    def trail(self, row: Any) -> None:
        """Takes a row of the trail. Applies a step that is not among the documents yet."""
        lineage, audit_id = self._lineage, row["audit_id"]
        if (
            lineage is None
            or row["event_type"] not in STEPS
            or row["source_event_id"] is not None
            or audit_id in lineage.seen
            or audit_id in lineage.older
        ):
            return
        if audit_id < lineage.oldest:  # older than the documents that are here
            return
        approval_id = row["approval_id"]
        try:
            if not DATA[row["event_type"].encode()].fullmatch(row["payload"].encode()):
                raise Unreadable("it is not in the form that the extension writes")
            state = lineage.state(approval_id)
            self._on_the_way.add(approval_id)
            for problem in approvals.step(state, row["event_type"], json.loads(row["payload"])):
                self._findings.wrong(
                    "standing", f"the database's row with audit_id {audit_id}: approval {approval_id}: {problem}"
                )
        except UNSOUND as error:
            self._findings.wrong(
                "standing",
                f"the database's row with audit_id {audit_id}, of approval {approval_id}, cannot be read: {why(error)}",
            )

    # -- approvals ----------------------------------------------------------------------------------------------------

    def approval(self, row: Any) -> None:
        """An approval of the database, with its signatures."""
        if self._lineage is None:
            return
        state = self._until(row["approval_id"])
        found: Row | None = None if row["approval"] is None else json.loads(row["approval"])
        signatures = {tuple(signature) for signature in json.loads(row["signatures"])}
        if state is None or state.row is None:
            self._without_documents(row["approval_id"], found, signatures, state)
        else:
            self._compare(row["approval_id"], found, signatures, state)

    def _until(self, approval_id: str) -> State | None:
        """Returns the documents' state of this approval, or None.

        Reports the approvals before it as missing in the database.
        """
        assert self._lineage is not None
        if self._expected is None:
            self._expected = self._lineage.approvals.in_order()
            self._next = next(self._expected, None)
        while self._next is not None and self._next[0] < approval_id:
            self._missing(*self._next)
            self._next = next(self._expected, None)
        if self._next is None or self._next[0] != approval_id:
            return None
        state, self._next = self._next[1], next(self._expected, None)
        return state

    def _missing(self, approval_id: str, state: State) -> None:
        if state.row is not None or state.signatures:
            self._findings.wrong(
                "standing", f"approval {approval_id} is missing in the database, but the documents have it"
            )

    def _without_documents(
        self, approval_id: str, found: Row | None, signatures: set[tuple[Any, ...]], state: State | None
    ) -> None:
        assert self._lineage is not None
        if state is not None and state.partial or state is None and self._lineage.partial:
            self._unknown += 1
        elif found is not None:
            self._findings.wrong(
                "standing",
                f"approval {approval_id} is in the database, but no document issued it (created_at {found.get('created_at')})",
            )
        else:
            self._findings.wrong(
                "standing",
                f"{plural(len(signatures), 'signature')} of {approval_id} in the database, where neither a document nor a row issued it",
            )

    def _compare(self, approval_id: str, found: Row | None, signatures: set[tuple[Any, ...]], state: State) -> None:
        assert state.row is not None
        if found is None:
            self._missing(approval_id, state)
        elif names := sorted(
            name for name in found.keys() & state.row.keys() if not _same(name, found[name], state.row[name])
        ):
            self._findings.wrong(
                "standing",
                f"approval {approval_id} is another one in the database than the documents lead to: {', '.join(names)} {'differs' if len(names) == 1 else 'differ'}",
            )
        expected = {tuple(signature) for signature in state.signatures}
        self._approvals += 1
        self._signatures += len(signatures & expected)
        for role, signer, digest in sorted(signatures - expected, key=str):
            if state.partial:
                self._unknown += 1
            else:
                self._findings.wrong(
                    "standing",
                    f"the signature of {signer} as {role} of approval {approval_id} (digest {digest}) is in the database, but no document added it",
                )
        for role, signer, digest in sorted(expected - signatures, key=str):
            self._findings.wrong(
                "standing",
                f"the signature of {signer} as {role} of approval {approval_id} (digest {digest}) is missing in the database",
            )

    # -- at the end ---------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        if self._lineage is None:
            self._findings.note(
                "standing", "approvals were not compared: the database has none of the stores that the documents are of"
            )
            return
        self._until("\U0010ffff")
        if self._unknown:
            self._findings.note(
                "standing",
                f"{plural(self._unknown, 'thing')} in admin.approval and admin.signature could not be compared: the beginning is not among these documents",
            )
        if self._on_the_way:
            self._findings.note(
                "on-the-way",
                f"{plural(len(self._on_the_way), 'approval')} of the database changed after the newest document that is here; the rows of its trail were used",
            )
        if not any(code == "standing" for level, code in self._findings.counts if level == "wrong"):
            self._report.compared.append(
                f"{plural(self._approvals, 'approval')} and {plural(self._signatures, 'signature')} that stand in the database "
                f"at {self._asked_at} are those that the documents lead to"
            )
