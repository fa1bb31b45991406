"""Every attack on every source: what is done, which command sees it, and what it says.

doc/auditor.md has this table; test_verify_attacks.py runs it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import evidence_sources as sources
from evidence_sources import FORGER, Archive, History, compact, compress, decompress, messages, write_dump, write_ndjson

ALONE = "{source}"
COMPARED = "{source} {other}"
REMEMBERED = "{source} --remember FILE"


class World:
    """One history in all three places, and what an attacker needs to change it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.honest = directory, sources.history()
        self.places = {kind: directory / kind for kind in ("ndjson", "topic", "archive")}
        for kind in self.places:
            self.write(kind, self.honest)
        self.key = directory / "key.hex"
        self.key.write_text(sources.KEY.public_key().public_bytes_raw().hex())

    def write(self, kind: str, of: History, key=sources.KEY, **more: object) -> None:
        """A source anew, as whoever can write it and has this key would."""
        place = self.places[kind]
        sources.shutil.rmtree(place, ignore_errors=True)
        if kind == "ndjson":
            write_ndjson(place, of.to("ndjson"))
        elif kind == "topic":
            write_dump(place, messages(of))
        else:
            Archive(place, key).write(of, **more)

    def arguments(self, kind: str) -> list[str]:
        option = {"ndjson": "--ndjson", "topic": "--topic-dump", "archive": "--archive"}[kind]
        return [option, str(self.places[kind]), *(["--key", str(self.key)] if kind == "archive" else [])]

    # -- what is there ------------------------------------------------------------------------------------------------

    def files(self, kind: str) -> list[Path]:
        """Files of documents in order."""
        if kind == "archive":
            return sorted(self.places[kind].rglob("*.ndjson.zst"))
        return sorted(
            (path for path in self.places[kind].glob("db-*.ndjson")), key=lambda path: int(path.stem.partition("-")[2])
        )

    def lines(self, path: Path) -> list[bytes]:
        data = path.read_bytes()
        return (decompress(data) if path.suffix == ".zst" else data).split(b"\n")[:-1]

    def store_lines(self, path: Path, lines: list[bytes]) -> None:
        data = b"".join(line + b"\n" for line in lines)
        path.write_bytes(compress(data) if path.suffix == ".zst" else data)

    def change_lines(self, kind: str, change: Callable[[list[bytes]], list[bytes]], file: int = 1) -> None:
        path = self.files(kind)[file]
        self.store_lines(path, change(self.lines(path)))

    def change_records(self, change: Callable[[list[sources.Message]], list[sources.Message]]) -> None:
        write_dump(self.places["topic"], change(messages(self.honest)))

    def seal_lines(self) -> Path:
        return self.places["ndjson"] / "db.seals.ndjson"

    def seals(self) -> list[Path]:
        return sorted(self.places["archive"].rglob("*.seal.json"))


def edited(document: bytes) -> bytes:
    return document.replace(b'"time":"2026', b'"time":"2025', 1)


# -- attacks by somebody who changes what lies there -------------------------------------------------------------------


def edit(world: World, kind: str) -> None:
    if kind == "topic":
        world.change_records(
            lambda records: [
                replace(record, value=edited(record.value)) if number == 9 else record
                for number, record in enumerate(records)
            ]
        )
    else:
        world.change_lines(kind, lambda lines: [edited(lines[0]), *lines[1:]])


def delete(world: World, kind: str) -> None:
    if kind == "topic":
        at = next(at for at, record in enumerate(messages(world.honest)) if at > 8 and len(record.headers) == 2)
        world.change_records(lambda records: records[:at] + records[at + 1 :])
    else:
        world.change_lines(kind, lambda lines: lines[1:])


def forge(world: World, kind: str) -> None:
    writer = sources.Writer(begin=sources.BEGIN + timedelta(days=1), first=5000)
    document = writer.issue("APP-777777-forged")
    if kind == "topic":
        number = str(len(world.honest.documents) + 1).encode()
        world.change_records(
            lambda records: [
                *records,
                sources.Message(0, records[-1].timestamp, b"k", [("admin-ext-number", number)], document),
            ]
        )
    elif kind == "ndjson":
        world.change_lines(kind, lambda lines: [*lines, document])
    else:
        chains, last = world.honest.chains(), len(world.honest.documents)
        after = sources.chain.extend(
            bytes.fromhex(chains[-1]), last + 1, 1, sources.chain.content_hash([document])
        ).hex()
        previous = hashlib.sha256(world.seals()[-1].read_bytes()).hexdigest()
        Archive(world.places[kind], FORGER).put(
            sources.STORE,
            "kafka",
            last + 1,
            [document],
            [1],
            chains[-1],
            after,
            previous,
            sources.BEGIN + timedelta(days=2),
            {},
        )


def drop(world: World, kind: str) -> None:
    """A whole file, object or transaction in the middle."""
    if kind == "topic":
        first = sum(world.honest.batches[:2])
        world.change_records(lambda records: records[:first] + records[first + world.honest.batches[2] :])
    elif kind == "ndjson":
        world.files(kind)[1].unlink()
        lines = world.seal_lines().read_bytes().splitlines(keepends=True)
        world.seal_lines().write_bytes(b"".join(lines[:1] + lines[2:]))
    else:
        world.files(kind)[1].unlink()
        world.seals()[1].unlink()


def pad(world: World, kind: str) -> None:
    """A document is removed, the one in front of it is made longer by as many bytes."""

    def padded(lines: list[bytes]) -> list[bytes]:
        return [lines[0][:-1] + b" " * len(lines[1]) + b" }", *lines[2:]]

    if kind == "topic":
        world.change_records(
            lambda records: [
                replace(record, value=padded([record.value, b""])[0]) if number == 9 else record
                for number, record in enumerate(records)
            ]
        )
    else:
        world.change_lines(kind, padded)


def swap(world: World, kind: str) -> None:
    if kind == "topic":
        world.change_records(
            lambda records: [
                replace(record, value=records[{9: 10, 10: 9}.get(at, at)].value) for at, record in enumerate(records)
            ]
        )
    else:
        world.change_lines(kind, lambda lines: [lines[1], lines[0], *lines[2:]])


def swap_records(world: World, kind: str) -> None:
    """Two records of one partition with their numbers: the same documents under the same numbers, in another order."""
    records = messages(world.honest, partitions=1)
    records[8], records[9] = records[9], records[8]
    write_dump(world.places["topic"], records)


def remove_seal(world: World, kind: str) -> None:
    if kind == "topic":
        at = sum(world.honest.batches[:3]) - 1
        world.change_records(
            lambda records: [
                replace(record, headers=record.headers[:2]) if number == at else record
                for number, record in enumerate(records)
            ]
        )
    elif kind == "ndjson":
        lines = world.seal_lines().read_bytes().splitlines(keepends=True)
        world.seal_lines().write_bytes(b"".join(lines[:1] + lines[2:]))
    else:
        world.seals()[1].unlink()


def other_seal(world: World, kind: str) -> None:
    """A seal that somebody without the key has made to fit a changed document."""
    if kind == "topic":

        def changed(records: list[sources.Message]) -> list[sources.Message]:
            at = sum(world.honest.batches[:3]) - 1
            name, text = records[at].headers[-1]
            seal = {**json.loads(text), "chain": "00" * 32}
            return [
                replace(record, headers=[*record.headers[:2], (name, compact(seal).encode())])
                if number == at
                else record
                for number, record in enumerate(records)
            ]

        world.change_records(changed)
    elif kind == "ndjson":
        lines = [json.loads(line) for line in world.seal_lines().read_bytes().splitlines()]
        lines[1]["chain_after"] = "00" * 32
        world.seal_lines().write_bytes(b"".join(compact(line).encode() + b"\n" for line in lines))
    else:
        path = world.seals()[1]
        path.write_bytes(sources.seal.to_bytes(sources.seal.sign(json.loads(path.read_bytes()), FORGER)))


def old_copy(world: World, kind: str) -> None:
    """What was there some time ago, whole and consistent."""
    cut_tail(world, kind)


# -- attacks by somebody who computes chain and seals again ------------------------------------------------------------


def shorter(of: History, batches: int) -> History:
    return replace(of, documents=of.documents[: sum(of.batches[:-batches])], batches=of.batches[:-batches])


def cut_tail(world: World, kind: str) -> None:
    """The newest documents with their seals, which are all good.  Whole objects of an archive, as no seal can be made."""
    batches = len(world.honest.batches) % 4 or 4
    world.write(kind, shorter(world.honest, batches))


def rewrite(world: World, kind: str) -> None:
    """One document is another, and chain and seals are computed for it; there is no signing key."""
    documents = [
        edited(document) if number == 9 else document for number, document in enumerate(world.honest.documents)
    ]
    world.write(kind, replace(world.honest, documents=documents), FORGER)


def exchange(world: World, kind: str) -> None:
    """Two documents of different approvals have each other's numbers, and the chain is computed for it.  Both are there, and no decision changes."""
    subjects = [json.loads(document).get("subject") for document in world.honest.documents]
    at = next(at for at in range(8, len(subjects)) if subjects[at] != subjects[at + 1])
    documents = [
        *world.honest.documents[:at],
        world.honest.documents[at + 1],
        world.honest.documents[at],
        *world.honest.documents[at + 2 :],
    ]
    world.write(kind, replace(world.honest, documents=documents), FORGER)


def back_date(world: World, kind: str) -> None:
    """A forged approval among old documents, with a time that fits; all numbers behind it, chain and seals are computed again."""
    document = sources.Writer(
        begin=datetime.fromisoformat(json.loads(world.honest.documents[9])["recordedtime"]), first=5000
    ).issue("APP-777777-forged")
    documents = [*world.honest.documents[:9], document, *world.honest.documents[9:]]
    world.write(kind, replace(world.honest, documents=documents, batches=[*world.honest.batches, 1]), FORGER)


def skip(world: World, kind: str) -> None:
    """The database never sends a document, and numbers and chain go on without it."""
    signed = next(at for at, document in enumerate(world.honest.documents) if b"signature.added" in document)
    documents = world.honest.documents[:signed] + world.honest.documents[signed + 1 :]
    batches = [*world.honest.batches[:-1], world.honest.batches[-1] - 1]
    world.write(kind, replace(world.honest, documents=documents, batches=[size for size in batches if size]))


def forge_decision(world: World, kind: str) -> None:
    """The database itself delivers a decision that does not follow: numbers, chain and seals are all genuine."""
    writer = sources.Writer(begin=sources.BEGIN + timedelta(days=1), first=5000)
    document = writer.check("APP-777777-forged", decision="valid", reason=None)
    world.write(
        kind, replace(world.honest, documents=[*world.honest.documents, document], batches=[*world.honest.batches, 1])
    )


def clock_back(world: World, kind: str) -> None:
    """Archive: the archiver's clock.  Elsewhere: the database's, which shows among the documents."""
    if kind == "archive":
        world.write(kind, world.honest, sealed_at=lambda newest: newest - timedelta(days=400))
        return
    writer = sources.Writer(begin=sources.BEGIN - timedelta(days=400), first=5000)
    world.write(
        kind,
        replace(
            world.honest,
            documents=[*world.honest.documents, writer.check("APP-777777-none")],
            batches=[*world.honest.batches, 1],
        ),
    )


@dataclass(frozen=True)
class Case:
    """One line of the table.  says: what the output has; level "attention": no proof of a forgery, and the exit status stays."""

    title: str
    attack: Callable[[World, str], None]
    kind: str
    command: str
    says: str
    level: str = "wrong"

    @property
    def name(self) -> str:
        return f"{self.attack.__name__}-{self.kind}-{self.command.count('{')}{'r' if 'remember' in self.command else 's' if '--store' in self.command else ''}"


def _row(
    title: str,
    attack: Callable[[World, str], None],
    ndjson: str | None,
    topic: str | None,
    archive: str | None,
    command: str = ALONE,
) -> list[Case]:
    return [
        Case(title, attack, kind, command, says)
        for kind, says in (("ndjson", ndjson), ("topic", topic), ("archive", archive))
        if says is not None
    ]


MISSING_ELSEWHERE = "missing in the {other}"
CASES = [
    *_row(
        "A document is edited",
        edit,
        "do not lead to the chain of their seal",
        "do not lead to the chain of its seal",
        "are not what was sealed",
    ),
    *_row("A document is deleted", delete, "by their seal, and", "is missing, number", "by their seal, and"),
    *_row("A document is added", forge, "by their seal, and", "no seal covers", "which you do not trust"),
    *_row(
        "A document is removed, another made longer",
        pad,
        "by their seal, and",
        "do not lead to the chain of its seal",
        "by their seal, and",
    ),
    *_row(
        "Two documents are exchanged",
        swap,
        "do not lead to the chain of their seal",
        "do not lead to the chain of its seal",
        "are not what was sealed",
    ),
    Case("Two records are exchanged, with their numbers", swap_records, "topic", ALONE, "they were exchanged"),
    *_row(
        "A file, a transaction or an object is dropped, with its seal",
        drop,
        "are missing in front of file",
        "are missing in front of the transaction",
        "are missing in front of seal",
    ),
    *_row("A seal is removed", remove_seal, "no seal names the file", "no seal covers", "seal.json is missing"),
    *_row(
        "A seal is replaced by one of somebody without the key",
        other_seal,
        "do not lead to the chain of their seal",
        "do not lead to the chain of its seal",
        "which you do not trust",
    ),
    *_row(
        "The newest documents are cut off, with their seals", cut_tail, *(["was known before"] * 3), command=REMEMBERED
    ),
    *_row("The newest documents are cut off, with their seals", cut_tail, *(["missing in the"] * 3), command=COMPARED),
    *_row("An old copy is put back", old_copy, *(["this is an old copy"] * 3), command=REMEMBERED),
    *_row(
        "All is rewritten, with chain and seals, without the archive's key",
        rewrite,
        None,
        None,
        "which you do not trust",
    ),
    *_row(
        "All is rewritten, with chain and seals, without the archive's key",
        rewrite,
        *(["is another one in"] * 2),
        None,
        command=COMPARED,
    ),
    *_row(
        "All is rewritten, with chain and seals, without the archive's key",
        rewrite,
        *(["the history was rewritten"] * 2),
        None,
        command=REMEMBERED,
    ),
    Case(
        "Two documents are exchanged, and the chain is computed for it",
        exchange,
        "topic",
        COMPARED,
        "the chain is another one than in the archive",
    ),
    *_row(
        "A forged approval is back-dated into old documents, the chain and the seals are computed again",
        back_date,
        None,
        None,
        "which you do not trust",
    ),
    *_row(
        "A forged approval is back-dated into old documents, the chain and the seals are computed again",
        back_date,
        *(["missing in the"] * 2),
        None,
        command=COMPARED,
    ),
    *_row("A step of an approval is never delivered", skip, *(["approval APP-"] * 3)),
    *_row("A step of an approval is never delivered", skip, *(["missing in the"] * 3), command=COMPARED),
    *_row(
        "The database delivers a decision that does not follow",
        forge_decision,
        *(["the documents before it lead to deny (approval_not_found)"] * 3),
    ),
    Case("A clock is set back", clock_back, "archive", ALONE, "a clock was set back"),
    Case("A clock is set back", clock_back, "ndjson", ALONE, "a back-dated row", "attention"),
    Case("A clock is set back", clock_back, "topic", ALONE, "a back-dated row", "attention"),
]
