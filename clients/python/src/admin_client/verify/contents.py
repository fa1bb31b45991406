"""Checks what the documents say: repeated documents, approvals step by step, decisions, and acts on
the trail itself.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from typing import Any

from ..parity import instant
from . import approvals, document, quick
from .document import OWN, TYPE_PREFIX, attribute, is_subject
from .forms import CHECK, SIGNED, STEPS
from .repeats import Came, Digests, Resent, Seen
from .report import Stream
from .safe import Unreadable, why

ACTS = frozenset(
    ("sink.resynced", "sink.diverged", "dead_letter.retried", "partition.dropped", "guard.changed", "setting.changed")
)
# Tables that only the extension's own code writes. A row added by hand can keep a document from a sink. sql/install has
# the lists.
BOOKS = frozenset(
    (
        "admin.store",
        "admin.tick",
        "admin.sink_position",
        "admin.sink_skipped",
        "admin_internal.delivery_link",
        "admin.dead_letter",
        "admin.dead_letter_retry",
        "admin.jwt_used",
        "admin.ingest_source",
        "admin.ingest_gap",
        "admin.audit_dropped",
        "admin.import_run",
        "admin.parity_run",
        "admin.shadow_check",
        "admin.shadow_settled",
        "admin.sweep_due",
        "admin.archive_receipt",
        "admin_internal.archive_base",
        "admin_internal.resync_record",
        "admin_internal.late_delivery",
        "admin_internal.reach_seen",
        "admin_internal.setting_seen",
        "admin.granted_access",
    )
)
RESERVED = ("approval.", "signature.", "sensitive.check")
"""Only the extension's own code writes such events, and it has no others than these and the ones that are replayed."""
ANNOUNCED = frozenset(("approval.expired", "approval.stale"))
RESYNCED: dict[str, set[type]] = {
    "sink": {str},
    "from": {int},
    "first_undelivered": {int, type(None)},
    "sent_again": {int},
    "skipped": {int},
    "old_store_id": {str},
    "new_store_id": {str},
    "old_last_number": {int, type(None)},
    "old_chain": {str, type(None)},
}
"""The data of an event sink.resynced, and their types."""
PERSON = {"approval.issued": "requested_by", "signature.added": "signer"}
"""Whose act a step is: the member of its row that the document names as actor."""
EVENT_WITHIN = 1000
"""The event of a resync_sink comes behind what it sent again, and perhaps behind so many other documents."""
LONGEST_TRANSACTION = timedelta(hours=1)
TOLERANCE = timedelta(seconds=10)
LONGEST_SUBJECT = 64
UNSOUND = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class Lineage:
    """A database: a store, and the stores that continue it."""

    def __init__(self, scratch: sqlite3.Connection, number: int, partial: bool) -> None:
        self.approvals = approvals.Approvals(scratch, number)
        self.digests = Digests(scratch, number)
        self.made, self.newest = 0, ""
        self.partial = partial
        """Are there documents in front of the first one that is here?"""

    @property
    def older(self) -> Seen:
        """The audit_ids of its older stores."""
        return self.digests.older

    @property
    def seen(self) -> Seen:
        """The audit_ids of the store whose documents came last."""
        return self.digests.seen

    @property
    def oldest(self) -> int:
        """Returns the smallest audit_id of its documents, or 0 if there are none."""
        return min((least for least in (self.older.least, self.seen.least) if least is not None), default=0)

    def state(self, approval_id: str) -> approvals.State:
        """Returns an approval's state, and makes it if it is not known yet.

        Raises ValueError for an impossible approval id.
        """
        if not isinstance(approval_id, str) or not approval_id.isascii():
            raise Unreadable(f"{approval_id!r} is no approval's id")
        state = self.approvals.get(approval_id)
        if state is None:
            state = self.approvals.make(approval_id)
            state.partial = self.partial
            self.made += 1
        return state


class Contents:
    """Reads the documents of stores in order of their numbers, each store behind the one that it continues."""

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        self._lineages: dict[str, Lineage] = {}
        self._lineage = Lineage(scratch, 0, True)
        self._stream: Stream | None = None
        self._newest = ""
        self._resent = Resent()

    def begin(self, stream: Stream, first: int, continues: str | None, meant: bool = True) -> None:
        """Begins a store, whose documents start with this number.

        continues: the store whose trail it goes on with. meant: whether that claim is believed.
        """
        lineage = self._lineages.get(continues or "") if meant else None
        if lineage is None or lineage.newest != continues:  # two stores that continue one have no more in common
            lineage = Lineage(self._scratch, len(self._lineages) + 1, continues is not None)
        lineage.digests.next_store()
        lineage.newest = stream.store
        lineage.partial = lineage.partial or first != 1 or stream.rootless
        self._lineages[stream.store] = self._lineage = lineage
        self._stream = stream
        self._newest = ""
        self._resent = Resent()
        stream.read_approvals = True

    @property
    def newest(self) -> str:
        """The latest instant at which a document of the store was recorded."""
        return self._newest

    def lineage_of(self, store: str) -> Lineage | None:
        """What is known of the database that has this store."""
        return self._lineages.get(store)

    def end(self) -> None:
        """Ends a store. Documents that came twice have to be explained by a resync_sink that sent them again."""
        if self._stream is None or not self._resent.total:
            return
        findings, resent = self._stream.findings, self._resent
        said = f"{resent.total:,} documents came a second time, under new numbers and unaltered"
        if not resent.open:
            findings.note("again", f"{said}: resync_sink has sent them again")
        elif resent.fresh <= EVENT_WITHIN:
            findings.attention(
                "again",
                f"{said}, and the event of a resync_sink that sent them again, from audit_id {resent.least} on, is not here yet",
            )
        else:
            findings.wrong(
                "doubled",
                f"{said}, and no resync_sink has sent {resent.open:,} of them again, from audit_id {resent.least} on",
            )

    def __call__(self, number: int, text: bytes) -> None:
        assert self._stream is not None
        for line in text.split(b"\n")[:-1]:
            try:
                if (found := quick.decision(line)) is None or not self._follows(found, line):
                    self._document(number, document.read(line))
            except UNSOUND as error:
                self._stream.findings.wrong(
                    "malformed", f"document {number:,} cannot be read: {why(error)}", number, number
                )
            number += 1

    def _follows(self, found: quick.Decision, line: bytes) -> bool:
        """Checks a new decision against what the documents before it lead to."""
        assert self._stream is not None
        lineage, audit_id, at = self._lineage, int(found.audit_id), found.at.decode()
        state = lineage.approvals.get(found.approval_id.decode())
        expected = None if state is None else state.expected()
        if (
            expected is None
            or found.store != self._stream.store.encode()
            or at < self._newest
            or not lineage.digests.is_new(audit_id)
            or not expected.is_said_by(found)
        ):
            return False
        lineage.digests.first(audit_id, document.digest_of(line, found.store))
        self._newest = at
        self._resent.fresh += 1
        self._stream.decisions += 1
        return True

    def _document(self, number: int, found: document.Document) -> None:
        came = self._lineage.digests.came(found.audit_id, found.digest)
        if came is Came.FIRST or came is Came.FORKED:
            self._resent.fresh += 1
            if came is Came.FORKED:
                self._forked(number, found.audit_id)
            self._read(number, found)
        elif came is Came.AGAIN:  # it was applied when it first came
            self._resent.again(found.audit_id)
        elif came is Came.REWRITTEN:
            assert self._stream is not None
            self._stream.findings.wrong(
                "rewritten",
                f"document {number:,} has audit_id {found.audit_id}, which came before with other content: the row was rewritten",
                number,
                number,
            )

    def _forked(self, number: int, audit_id: int) -> None:
        assert self._stream is not None
        self._stream.findings.attention(
            "forked",
            f"document {number:,} has audit_id {audit_id}, which another document of an older store had: the database was put back to an older state, "
            "and what it had written since then is lost",
            number,
            number,
        )

    def _read(self, number: int, found: document.Document) -> None:
        assert self._stream is not None
        event, findings = found.event, self._stream.findings
        if event is None:
            findings.attention(
                "deep", f"document {number:,} is of another source, and nested too deeply to be read", number, number
            )
            return
        kind = str(event["type"])
        if not found.own:
            if kind.startswith(TYPE_PREFIX):
                findings.attention(
                    "borrowed",
                    f"document {number:,} is of {str(event['source'])[:300]}, not of this database, though its type is {kind}",
                    number,
                    number,
                )
            return
        if event["source"] != OWN + self._stream.store:
            findings.wrong("foreign", f"document {number:,} is of {event['source']}", number, number)
        kind = kind.removeprefix(TYPE_PREFIX)
        self._time(number, event)
        if kind == CHECK:
            self._decision(number, event)
        elif kind in STEPS:
            self._step(number, event, kind)
        elif kind in ACTS:
            self._act(number, event, kind)
        elif kind.startswith("row."):
            self._row(number, event, kind)
        elif kind.startswith(RESERVED) and kind not in ANNOUNCED:
            findings.attention(
                "kind",
                f"document {number:,} is of {event.get('actor', 'somebody')} at {event['time']}, of the kind {kind}, which this version of the extension does not write",
                number,
                number,
            )

    def _time(self, number: int, event: dict[str, Any]) -> None:
        """Reports a document that was recorded long before its predecessors: back-dated, or a very long transaction."""
        assert self._stream is not None
        recorded = event["recordedtime"]
        if recorded >= self._newest:
            self._newest = recorded
        elif instant.parse(self._newest) - instant.parse(recorded) > LONGEST_TRANSACTION:
            self._stream.findings.attention(
                "late",
                f"document {number:,} says that it was recorded at {recorded}, but the documents before it are of {self._newest}: "
                "a very long transaction, a dead letter that was retried, or a back-dated row",
                number,
                number,
            )

    def _act(self, number: int, event: dict[str, Any], kind: str) -> None:
        assert self._stream is not None
        data, what = event["data"], json.dumps(event["data"], ensure_ascii=False)
        if not isinstance(data, dict):
            raise Unreadable(f"the data of an event {kind} are no object")
        if kind == "sink.resynced":
            self._resynced(data)
        if kind == "setting.changed" and "restoring" in what:
            self._lineage.partial = True
        self._stream.findings.attention(
            kind,
            f"document {number:,}: {event.get('actor', 'somebody')} at {event['time']}: {what[:300]}",
            number,
            number,
        )

    def _row(self, number: int, event: dict[str, Any], kind: str) -> None:
        assert self._stream is not None
        data = event["data"]
        if isinstance(data, dict) and data.get("relation") in BOOKS:
            what = json.dumps(data.get("row"), ensure_ascii=False)
            self._stream.findings.attention(
                "by-hand",
                f"document {number:,}: {event.get('actor', 'somebody')} at {event['time']}: {kind} in {data['relation']}, which only the extension writes: {what[:300]}",
                number,
                number,
            )

    def _resynced(self, data: dict[str, Any]) -> None:
        assert self._stream is not None
        for name, form in RESYNCED.items():
            if name in data and type(data[name]) not in form:
                raise Unreadable(f"{name} of a resync_sink is {json.dumps(data[name])[:40]}")
        if data["sink"] == self._stream.sink:
            self._resent.resynced(data["from"])

    def _step(self, number: int, event: dict[str, Any], kind: str) -> None:
        assert self._stream is not None
        stream, findings, approval_id, data = self._stream, self._stream.findings, event["subject"], event["data"]
        made = self._lineage.made
        state = self._lineage.state(approval_id)
        if kind == "approval.issued" and self._lineage.made > made:
            state.partial = False
        stream.approvals += self._lineage.made - made
        stream.unknown_approvals += self._lineage.made - made if state.partial else 0
        state.remember(event["recordedtime"])
        if data["row"].get("approval_id") != approval_id:
            findings.wrong("approval", f"document {number:,}: subject and row name different approvals", number, number)
        if (person := PERSON.get(kind)) is not None and attribute(event.get("actor")) != attribute(data["row"][person]):
            findings.wrong(
                "approval",
                f"document {number:,}: approval {approval_id}: {kind} is of {event.get('actor', 'nobody')}, but its {person} is {data['row'][person]}",
                number,
                number,
            )
        self._dated(number, event, kind)
        for problem in approvals.step(state, kind, data):
            findings.wrong("approval", f"document {number:,}: approval {approval_id}: {problem}", number, number)
        if kind == SIGNED and "verified" in data and state.row is not None and not state.partial:
            late = instant.parse(event["recordedtime"]) - instant.parse(state.row["sla_deadline"])
            if late > LONGEST_TRANSACTION:
                findings.wrong(
                    "approval",
                    f"document {number:,}: approval {approval_id}: it was signed {late} after its deadline ({state.row['sla_deadline']})",
                    number,
                    number,
                )
        if kind == "approval.altered":
            findings.attention(
                "altered",
                f"document {number:,}: approval {approval_id} was altered by {event.get('actor', 'somebody')}: {json.dumps(data.get('changed'), ensure_ascii=False)[:300]}",
                number,
                number,
            )
        if "by" in data:
            findings.attention(
                "by-hand",
                f"document {number:,}: {kind} of {approval_id} was written into the table by {data['by']}, not by the workflow",
                number,
                number,
            )

    def _dated(self, number: int, event: dict[str, Any], kind: str) -> None:
        """Reports steps with an instant of the past.

        An import writes such instants into a row, too. The workflow never does: its steps say whether a token was
        verified.
        """
        assert self._stream is not None
        data, recorded = event["data"], instant.parse(event["recordedtime"])
        name = {"approval.issued": "created_at", "signature.added": "signed_at"}.get(kind)
        if name is None or data["row"][name] == event["recordedtime"]:
            return
        by_workflow, at = "verified" in data, data["row"][name]
        said = f"document {number:,}: {kind} of {event['subject']} says that its {name} is {at}, but it was recorded at {event['recordedtime']}"
        try:
            is_near = abs(instant.parse(at) - recorded) <= LONGEST_TRANSACTION
        except ValueError:  # infinity, or no instant of the calendar
            is_near = False
        if not is_near and by_workflow:
            self._stream.findings.wrong("dated", f"{said}: the workflow dates nothing back", number, number)
        elif not is_near:
            self._stream.findings.attention(
                "dated", f"{said}: an import, or somebody has dated it back", number, number
            )

    def _evaluated(self, number: int, event: dict[str, Any]) -> None:
        """Compares a decision's instant with when it was recorded.

        The choice of that instant decides whether the approval had expired.
        """
        assert self._stream is not None
        if event["time"] == event["recordedtime"] == event["data"]["evaluated_at"]:
            return
        evaluated = instant.parse(event["data"]["evaluated_at"])
        name, apart = max(
            ((name, abs(instant.parse(event[name]) - evaluated)) for name in ("time", "recordedtime")),
            key=lambda found: found[1],
        )
        if apart > TOLERANCE:
            said = f"decision {number:,} says that it was made at {event['data']['evaluated_at']}, but its {name} is {event[name]}"
            if apart > LONGEST_TRANSACTION:
                self._stream.findings.wrong("evaluated", said, number, number)
            else:
                self._stream.findings.attention("evaluated", f"{said}: a long transaction?", number, number)

    def _decision(self, number: int, event: dict[str, Any]) -> None:
        assert self._stream is not None
        findings, data = self._stream.findings, event["data"]
        approval_id = data["approval_id"]
        subject = event.get("subject")
        # A row cannot have a longer subject.
        has_subject = is_subject(approval_id) and (subject is not None or len(approval_id.encode()) <= LONGEST_SUBJECT)
        if subject != (approval_id if has_subject else None):
            findings.wrong(
                "decision",
                f"decision {number:,} is on {approval_id}, but the document's subject is {subject}",
                number,
                number,
            )
        if data["audit"]["audit_id"] != event["auditid"]:
            findings.wrong(
                "decision",
                f"decision {number:,} says that it is recorded under audit_id {data['audit']['audit_id']}, but it is {event['auditid']}",
                number,
                number,
            )
        self._evaluated(number, event)
        state = None if approval_id is None else self._lineage.approvals.get(approval_id)
        if (
            (state is None or state.row is None or state.partial)
            and (self._lineage.partial or state is not None and state.partial)
            and data["state"] is not None
        ):
            findings.attention(
                "unknown",
                f"decision {number:,} is about {approval_id}, whose beginning is not among these documents: whether it follows, this cannot know",
                number,
                number,
            )
            self._stream.unknown_decisions += 1
            return
        self._stream.decisions += 1
        replayed = approvals.replay(state, data)
        if not replayed.follows:
            expected = replayed.expected or {}
            names = [name for name in expected if data.get(name) != expected[name]]
            differ = (
                ""
                if "decision" in names or "reason" in names
                else f", but with {' and '.join(f'{name} {json.dumps(expected[name])}, not {json.dumps(data.get(name))[:80]}' for name in names)}"
            )
            findings.wrong(
                "decision",
                f"decision {number:,} on {approval_id} says {data.get('decision')} ({data.get('reason') or 'no reason'}), the documents before it lead to "
                f"{expected.get('decision')} ({expected.get('reason') or 'no reason'}){differ}",
                number,
                number,
            )
        elif replayed.late > LONGEST_TRANSACTION:
            findings.wrong(
                "decision",
                f"decision {number:,} on {approval_id} follows from a state that had ended {replayed.late} before",
                number,
                number,
            )
        elif replayed.late > TOLERANCE:
            findings.attention(
                "decision",
                f"decision {number:,} on {approval_id} follows from a state that ended {replayed.late} before: a long transaction?",
                number,
                number,
            )
