"""Attacks by whoever has the database and the broker: numbers, chain and seals are all genuine, only the documents lie.

Also stores that the archiver sealed as it seals every other one.  doc/auditor.md has these with the rest of the table.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import evidence_sources as sources
from evidence_sources import OTHER_STORE, STORE, History, Writer, compact, write_dump, write_ndjson
from verify_attacks import ALONE, Case, World, edited

THIRD_STORE = "99999999-3b5a-4e0e-9d0c-7c1f2e3d4b5a"
NAMED = "{source} --store ID"
APPROVAL = "APP-777777-forged"
LATER = sources.BEGIN + timedelta(days=1)
Made = Callable[[Writer], list[bytes]]


def writer_later() -> Writer:
    return Writer(begin=LATER, first=5000)


def delivered(world: World, kind: str, documents: list[bytes]) -> None:
    """The database delivers these behind the honest ones."""
    batches = [*world.honest.batches[:-1], world.honest.batches[-1] + len(documents)]
    world.write(kind, replace(world.honest, documents=[*world.honest.documents, *documents], batches=batches))


def beside(world: World, kind: str, other: History) -> None:
    """Another store lies beside the honest one."""
    place = world.places[kind]
    if kind == "ndjson":
        chain = world.honest.to("ndjson").chains()[-1]
        claimed = (
            {**other.continues, "chain": chain}
            if other.continues and other.continues["last"] == len(world.honest.documents)
            else other.continues
        )
        write_ndjson(place, replace(other.to("ndjson"), continues=claimed))
    elif kind == "topic":
        write_dump(place, sources.messages(world.honest) + sources.messages(other, begin=1_770_000_000_000))
    else:
        sources.Archive(place).write(other)


def continued(world: World, documents: list[bytes], last: int | None = None, store: str = OTHER_STORE) -> History:
    chain = world.honest.chains()[-1]
    return History(
        documents,
        [len(documents)],
        store,
        continues={"store": STORE, "last": last or len(world.honest.documents), "chain": chain},
    )


def forged_decision(writer: Writer) -> bytes:
    return writer.check(APPROVAL, decision="valid", reason=None, state="signed_full")


def changed(document: bytes, **values: object) -> bytes:
    return compact({**json.loads(document), **values}).encode()


# -- rows that come again -----------------------------------------------------------------------------------------------


def again_rewritten(world: World, kind: str) -> None:
    """A decision is edited in the table, and resync_sink sends everything again."""
    event = writer_later().event(
        "sink.resynced",
        None,
        {"sink": world.honest.to(kind if kind == "ndjson" else "kafka").sink, "from": 1, "sent_again": 1},
        "dba",
    )
    delivered(world, kind, [edited(world.honest.documents[3]), event])


def again_rewritten_elsewhere(world: World, kind: str) -> None:
    """The same by way of a new store."""
    again = [document.replace(STORE.encode(), OTHER_STORE.encode()) for document in world.honest.documents[-6:]]
    again[2] = edited(again[2])
    beside(world, kind, continued(world, again))


def used_number(world: World, kind: str) -> None:
    """A new store gives the audit_id of an old row to a forged decision."""
    writer = Writer(OTHER_STORE, LATER, len(world.honest.documents))
    beside(world, kind, continued(world, [forged_decision(writer)]))


# -- documents that another reader takes for something else ------------------------------------------------------------


def in_form(change: Callable[[bytes], bytes]) -> Callable[[World, str], None]:
    def attack(world: World, kind: str) -> None:
        before = forged_decision(writer_later())
        after = change(before)
        assert after != before
        delivered(world, kind, [after])

    return attack


spaced = in_form(lambda document: document.replace(b'"type":"', b'"type": "', 1))
escaped = in_form(lambda document: document.replace(b'check.2b"', b'check.2\\u0062"', 1))
source_escaped = in_form(lambda document: document.replace(b'"source":"/admin', b'"source":"\\u002fadmin', 1))
decoy = in_form(lambda document: b'{"x":{"type":"ptt.admin.zzz"},' + document[1:])
twice = in_form(lambda document: document[:-1] + b',"source":"/ff"}')
twice_inside = in_form(
    lambda document: document.replace(b'"decision":"valid"', b'"decision":"valid","decision":"deny"', 1)
)
borrowed = in_form(lambda document: changed(document, source="/ff/eu-1"))
other_number = in_form(lambda document: document.replace(b'"auditid":"5000"', b'"auditid":"7777"', 1))


def unnumbered(world: World, kind: str) -> None:
    """Somebody who may write to the topic puts a decision there, in another form than the extension's."""
    text = compact(
        {"type": "ptt.admin.sensitive.check.2b", "source": f"/admin_ext/{STORE}", "data": {"decision": "valid"}}
    ).replace('"source":', '"source" : ')
    world.change_records(
        lambda records: [
            *records,
            sources.Message(0, records[-1].timestamp, b"k", [("content-type", b"application/json")], text.encode()),
        ]
    )


def other_record(world: World, kind: str) -> None:
    """A good decision a second time, under an audit_id of its own."""
    writer = writer_later()
    before, after = (writer.check("APP-999999-none") for _ in range(2))
    delivered(
        world,
        kind,
        [before, changed(after, data={**json.loads(after)["data"], "audit": json.loads(before)["data"]["audit"]})],
    )


def other_subject(world: World, kind: str) -> None:
    delivered(
        world,
        kind,
        [changed(writer_later().check("APP-999999-none"), subject="APP-100002-x1", partitionkey="APP-100002-x1")],
    )


# -- instants, beginnings that are not here ----------------------------------------------------------------------------


def back_dated_decision(world: World, kind: str) -> None:
    """The approval has expired, but the decision says that it was made before."""
    writer = writer_later()
    documents = [
        writer.issue(APPROVAL),
        *writer.sign(APPROVAL, "finance", "ann"),
        *writer.sign(APPROVAL, "legal", "eve"),
    ]
    good = json.loads(writer.check(APPROVAL))["data"]
    writer.clock += timedelta(days=60)
    delivered(world, kind, [*documents, changed(writer.check(APPROVAL), data=good)])


def earlier_store_missing(world: World, kind: str) -> None:
    """A store says that it continues one which is not here, so that nothing could be replayed."""
    world.write(kind, replace(world.honest, continues={"store": OTHER_STORE, "last": 5, "chain": "00" * 32}))


def restoring(world: World, kind: str) -> None:
    writer = writer_later()
    delivered(
        world,
        kind,
        [
            writer.event("setting.changed", None, {"name": "admin_ext.restoring", "value": "on"}, "dba"),
            forged_decision(writer),
        ],
    )


# -- stores of somebody else ---------------------------------------------------------------------------------------------


def impostor(world: World, kind: str) -> None:
    writer = Writer(OTHER_STORE, LATER, 5000)
    documents = [
        writer.issue(APPROVAL),
        *writer.sign(APPROVAL, "finance", "ann"),
        *writer.sign(APPROVAL, "legal", "eve"),
        writer.check(APPROVAL),
    ]
    beside(world, kind, History(documents, [len(documents)], OTHER_STORE))


def impostor_continues(world: World, kind: str) -> None:
    beside(world, kind, continued(world, [Writer(OTHER_STORE, LATER, 5000).issue(APPROVAL)]))


def two_continue(world: World, kind: str) -> None:
    """The honest store is continued by another one, and somebody else says that his continues it, too."""
    honest, other = (
        continued(world, [Writer(OTHER_STORE, LATER, 5000).issue(APPROVAL)]),
        continued(world, [Writer(THIRD_STORE, LATER, 6000).issue(APPROVAL)], store=THIRD_STORE),
    )
    beside(world, kind, honest)
    if kind == "topic":
        write_dump(
            world.places[kind],
            [
                record
                for of, begin in ((world.honest, 0), (honest, 1), (other, 2))
                for record in sources.messages(of, begin=1_760_000_000_000 + begin * 10**10)
            ],
        )
    else:
        beside(world, kind, other)


def false_continues(world: World, kind: str) -> None:
    """A store of somebody else says that the honest one was longer."""
    beside(world, kind, continued(world, [Writer(OTHER_STORE, LATER, 5000).issue(APPROVAL)], last=999))


# -- approvals that are altered ------------------------------------------------------------------------------------------


def altered(change: Made) -> Callable[[World, str], None]:
    def attack(world: World, kind: str) -> None:
        delivered(world, kind, change(writer_later()))

    return attack


altered_state = altered(
    lambda w: [
        w.issue(APPROVAL),
        w.change(APPROVAL, "approval.altered", required_signer_count=0, required_roles=[], state="signed_full"),
        w.check(APPROVAL),
    ]
)
altered_open = altered(
    lambda w: [
        w.issue(APPROVAL),
        *w.sign(APPROVAL, "finance", "ann"),
        *w.sign(APPROVAL, "legal", "eve"),
        w.withdraw(APPROVAL),
        w.change(APPROVAL, "approval.altered", closed_at=None, closed_by=None),
    ]
)
altered_deadline = altered(
    lambda w: [
        w.issue(APPROVAL),
        w.change(APPROVAL, "approval.altered", sla_deadline="2029-01-01T00:00:00.000000Z"),
        w.check(APPROVAL),
    ]
)


altered_roles = altered(
    lambda w: [
        changed(
            w.issue(APPROVAL), data={"op": "INSERT", "changed": {}, "row": {**w.rows[APPROVAL], "required_roles": 5}}
        )
    ]
)


def _rows(
    name: str, title: str, attack: Callable[[World, str], None], says: str, level: str = "wrong", command: str = ALONE
) -> list[Case]:
    attack.__name__ = name
    return [Case(title, attack, kind, command, says, level) for kind in ("ndjson", "topic", "archive")]


FORM = "not in the form that the extension writes"
CASES = [
    *_rows("again", "A row is edited and sent again", again_rewritten, "came before with other content"),
    *_rows(
        "again_elsewhere",
        "A row is edited and sent again by a new store",
        again_rewritten_elsewhere,
        "came before with other content",
    ),
    *_rows(
        "used_number",
        "A new store gives an old audit_id to a forged decision",
        used_number,
        "the documents before it lead to deny (approval_not_found)",
    ),
    *_rows("spaced", "A forged decision has a space in front of its type", spaced, FORM),
    *_rows("escaped", "A forged decision has its type escaped", escaped, FORM),
    *_rows("source_escaped", "A forged decision has its source escaped", source_escaped, FORM),
    *_rows("decoy", "A forged decision has a member in front of the others", decoy, FORM),
    *_rows("twice", "A forged decision names its source twice", twice, "a member is there twice"),
    *_rows("twice_inside", "A forged decision says two things", twice_inside, "a member is there twice"),
    *_rows(
        "borrowed",
        "A forged decision is put in as another source's event",
        borrowed,
        "not of this database, though its type is",
        "attention",
    ),
    *_rows("other_number", "A document has two audit_ids", other_number, "are different: 5000"),
    *_rows("other_record", "A decision is recorded twice", other_record, "says that it is recorded under audit_id"),
    Case(
        "A forged decision is put into the topic, without a number",
        unnumbered,
        "topic",
        ALONE,
        "has no delivery number",
    ),
    *_rows(
        "other_subject", "A decision is filed under another approval", other_subject, "but the document's subject is"
    ),
    *_rows(
        "back_dated_decision",
        "A decision on an expired approval is back-dated",
        back_dated_decision,
        "says that it was made at",
    ),
    *_rows(
        "earlier_store",
        "A store says that it continues one which is not here",
        earlier_store_missing,
        "which is not here",
    ),
    *_rows(
        "restoring",
        "A forged decision comes after restoring was switched on",
        restoring,
        "whether it follows, this cannot know",
        "attention",
    ),
    *_rows("impostor", "Somebody has begun a store of his own", impostor, "continue no other one", "attention"),
    *_rows("impostor", "Somebody has begun a store of his own", impostor, "is none that you named", command=NAMED),
    *_rows(
        "impostor_continues",
        "Somebody's own store says that it continues the honest one",
        impostor_continues,
        "is none that you named",
        command=NAMED,
    ),
    *_rows(
        "false_continues",
        "Somebody's own store says that the honest one was longer",
        false_continues,
        "is somebody else's",
    ),
    *_rows(
        "two_continue",
        "Two stores say that they continue one",
        two_continue,
        "no more than one of them can be right",
        "attention",
    ),
    *_rows(
        "altered_state",
        "An approval is made signed_full by altering it",
        altered_state,
        "no such event changes the state",
    ),
    *_rows("altered_roles", "An approval is issued with a number in place of its roles", altered_roles, FORM),
    *_rows(
        "altered_open", "A withdrawn approval is opened again by altering it", altered_open, "it was closed, and event"
    ),
    *_rows("altered_deadline", "A deadline is altered", altered_deadline, "was altered by", "attention"),
]
