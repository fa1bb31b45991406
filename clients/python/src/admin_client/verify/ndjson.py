"""The NDJSON sink's files, and the seals beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from . import seals
from .document import OWN
from .report import CannotLook, Report, Stream
from .safe import lines_of
from .source import Progress, Task, check_heads
from .walk import Chain, Consumer, walk

CHUNK = 1 << 18
SEALS = ".seals.ndjson"
SINK = "ndjson"
OWN_SOURCE = f'"source":"{OWN}'.encode()
FILE = re.compile(r"(.*)-([0-9]+)\.ndjson")


class _Hashed:
    """A file's bytes in chunks, hashed as they are read."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        self._path, self._size, self.sha256, self.bytes = path, size, hashlib.sha256(), 0

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK if self._size is None else min(CHUNK, self._size - self.bytes)):
                self.sha256.update(chunk)
                self.bytes += len(chunk)
                yield chunk


class NdjsonStore:
    """The files of one store in one database's list of seals."""

    def __init__(self, directory: Path, store: str, sink: str, task: Task) -> None:
        self._directory, self._task = directory, task
        self.stream = Stream(str(directory), "ndjson", store, sink)
        self._progress = Progress(self.stream, task.since)
        self._ends = task.ends(store, sink)
        self._consumers: list[Consumer] | None = None
        self._marker = self._read_marker()

    def _begin(self, first: int, continues: object) -> list[Consumer]:
        if self._consumers is None:
            self._consumers = self._task.consumers(self.stream, first, continues)
        return self._consumers

    def finished(self, seal: seals.Seal) -> None:
        """Reads the next finished file."""
        findings, name = self.stream.findings, seal.get("file")
        consumers = self._begin(seal["first"], seal.get("continues"))
        if not self._progress.begin_piece(seal["first"], seal["last"], seal["chain_before"], f"file {name}"):
            return
        if isinstance(name, str) and "/" not in name and (self._directory / name).is_file():
            self._file(self._directory / name, seal, consumers)
        else:
            findings.wrong(
                "object-missing",
                f"file {name} is missing: its seal says that it has the documents {seal['first']:,} to {seal['last']:,}",
                seal["first"],
                seal["last"],
            )
        self._progress.end_piece(seal["last"], seal["chain_after"])
        self.stream.seals += 1

    def _file(self, path: Path, seal: seals.Seal, consumers: list[Consumer]) -> None:
        stream = self.stream
        of_chain = (
            None
            if seal["batches"] is None
            else Chain(bytes.fromhex(seal["chain_before"]), seal["first"], seal["batches"], self._ends)
        )
        hashed = _Hashed(path)
        count = walk(hashed, seal["first"], of_chain, None, consumers)
        stream.documents += count
        if of_chain is None:
            self._unlinked(path, seal)
        else:
            stream.batches += of_chain.done
            if of_chain.value.hex() != seal["chain_after"]:
                self._ends.forget(seal["first"])
        expected, where = (
            seal["last"] - seal["first"] + 1,
            f"documents {seal['first']:,} to {seal['last']:,} (file {path.name})",
        )
        if count != expected:
            stream.findings.wrong(
                "count", f"{where} are {expected:,} by their seal, and {count:,} here", seal["first"], seal["last"]
            )
        elif of_chain is not None and (of_chain.value.hex() != seal["chain_after"] or not of_chain.complete):
            stream.findings.wrong(
                "altered",
                f"{where} do not lead to the chain of their seal: altered, exchanged or in another order",
                seal["first"],
                seal["last"],
            )
        elif seal["sha256"] not in (None, hashed.sha256.hexdigest()) or hashed.bytes != seal["bytes"]:
            stream.findings.wrong("altered", f"{where} are not the bytes that were sealed", seal["first"], seal["last"])

    def _unlinked(self, path: Path, seal: seals.Seal) -> None:
        """Handles a file without known batch sizes.

        Its chain cannot be computed, so chains known within the file cannot be met.
        """
        first, last = seal["first"], seal["last"]
        self._ends.passed(first, last)
        self._ends.add(last, bytes.fromhex(seal["chain_after"]))
        proof = "its SHA-256" if seal["sha256"] is not None else "their count and length"
        self.stream.findings.note(
            "unlinked",
            f"documents {first:,} to {last:,} (file {path.name}) are proved by {proof} and by the chain of the files beside it only: "
            "the sizes of their batches were removed from the database",
            first,
            last,
        )

    def unfinished(self, path: Path, why: str = "is not finished", continues: object = None) -> None:
        """Reads a file that no seal names, because it is being written or its store was replaced.

        Ignores an incomplete last line.
        """
        with path.open("rb") as file:
            size = _whole_lines(file.read, path.stat().st_size, file.seek)
        first = max(self._progress.next or 1, (self.stream.last or 0) + 1)
        count = walk(_Hashed(path, size), first, None, None, self._begin(first, continues))
        if count:
            self.stream.documents += count
            self.stream.loose += count
            self.stream.first = self.stream.first or first
            self.stream.last = first + count - 1
            self._ends.passed(first, self.stream.last)
            self.stream.findings.note(
                "unsealed",
                f"file {path.name} {why}: its {count:,} documents have no seal, nothing proves them yet",
                first,
                first + count - 1,
            )

    def replaced(self, paths: list[Path]) -> None:
        """Ends a store that another store follows: its last files never get a seal.

        The sink's marker tells how many documents there were.
        """
        for path in paths:
            self.unfinished(path, "is the last one of a store that was replaced")
        self._compare_marker(
            self._marker and self._read_marker()
        )  # it may have been replaced since this store's first file was read

    def _read_marker(self) -> tuple[int, str] | None:
        """Returns the delivery number of the newest batch and the chain after it, or None if there is no marker."""
        marker = self._directory / f"{self.stream.store}.position"
        if not marker.is_file():
            return None
        try:
            fields = marker.read_text(encoding="ascii").split()
            return int(fields[5]), fields[6]
        except (ValueError, IndexError):
            self.stream.findings.wrong("marker", f"the marker {marker.name} cannot be read")
            return None

    def _compare_marker(
        self, found: tuple[int, str] | None, again: tuple[int, str] | None = None, may_be_older: bool = False
    ) -> None:
        """Compares a marker of the sink with the files.

        again: the marker read once more after the files, if the first was read before them. may_be_older: the sink
        still writes, so an honest copy can have an older marker than files.
        """
        if found is None:
            return
        number, head = found
        name, last, findings = f"{self.stream.store}.position", self.stream.last or 0, self.stream.findings
        newest = max(number, again[0] if again is not None else 0)
        if newest < last:
            said = f"the files have documents up to {last:,}, but store {self.stream.store} delivered no more than {newest:,} by its marker"
            if may_be_older:
                findings.attention(
                    "marker",
                    f"{said}: lines were appended, or the marker is an older one, copied before the files or from before a power loss",
                    newest + 1,
                    last,
                )
            else:
                findings.wrong("marker", said, newest + 1, last)
        elif number > last:  # it is written before the batch
            findings.attention(
                "marker",
                f"the marker {name} says that documents up to {number:,} were about to be written, and the files end at {last:,}: "
                "a crash within the last batch, or the end was cut off",
                last + 1,
                number,
            )
        elif number == self.stream.chain_at and head != self.stream.chain:
            findings.wrong(
                "marker", f"the marker {name} has another chain at number {number:,} than the seals", number, number
            )

    def newest(self, paths: list[Path], continues: object = None) -> None:
        """Reads the files of the newest store that are being written."""
        for path in paths:
            self.unfinished(path, continues=continues)
        self._compare_marker(self._marker, again=self._marker and self._read_marker(), may_be_older=True)

    def end(self) -> Stream:
        self._task.end()
        check_heads(self.stream, self._task, self._ends)
        return self.stream


def _whole_lines(read: object, size: int, seek: object) -> int:
    """How many bytes there are up to the last line feed."""
    assert callable(read) and callable(seek)
    end = size
    while end > 0:
        start = max(0, end - CHUNK)
        seek(start)
        if (found := bytes(read(end - start)).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0


def _sealed_lines(path: Path, report: Report) -> Iterator[seals.Sealed]:
    with path.open("rb") as file:
        for number, line in enumerate(lines_of(file), 1):
            try:
                if not line.endswith(b"\n"):
                    raise seals.Malformed("has no end")
                yield seals.parse(line[:-1], signed=False)
            except seals.Malformed as error:
                report.findings.wrong("seal-malformed", f"line {number} of {path.name} {error}")


def _expect(path: Path, task: Task) -> set[str]:
    """Registers what the first line of a new store says of the store before. Returns the named files."""
    named = set()
    for sealed in _sealed_lines(path, Report()):
        named.add(str(sealed.seal.get("file")))
        if isinstance(continued := sealed.seal.get("continues"), dict):
            try:
                task.expect(continued, sealed.seal["sink"], sealed.seal["store"])
            except (KeyError, TypeError, ValueError):
                continue
    return named


def _database(path: Path, directory: Path, task: Task, report: Report) -> None:
    """All stores of one list of seals."""
    loose = _Loose(directory, path.name.removesuffix(SEALS), _expect(path, task))
    current: NdjsonStore | None = None
    newest = -1
    done: set[str] = set()
    for sealed in _sealed_lines(path, report):
        seal = sealed.seal
        number = _number(str(seal.get("file")))
        if current is None or current.stream.store != seal["store"]:
            if current is not None:
                done.add(current.stream.store)
                current.replaced(loose.take(current.stream.store, newest, number))
                report.streams.append(current.end())
            if seal["store"] in done:
                report.findings.wrong("order", f"{path.name} goes back to store {seal['store']}")
            current = NdjsonStore(directory, seal["store"], seal["sink"], task)
            newest = -1
        current.finished(seal)
        loose.is_named(str(seal.get("file")))
        newest = max(newest, number)
    if current is not None:
        current.newest(loose.take(current.stream.store, newest, None))
        report.streams.append(current.end())
        _begun(directory, loose, current, newest, {*done, current.stream.store}, task, report)
    for file in loose.left:
        report.findings.wrong(
            "seal-missing",
            f"no seal names the file {file.name}: its line was removed from {path.name}, or the file was put there",
        )


def _begun(
    directory: Path, loose: _Loose, before: NdjsonStore, newest: int, done: set[str], task: Task, report: Report
) -> None:
    """Begins a store that has just replaced another one and has no finished file yet."""
    for path in loose.left[-1:]:
        store = _store_of(path)
        if store is not None and store not in done and seals.UUID.fullmatch(store) and _number(path.name) > newest:
            loose.left.remove(path)
            begun = NdjsonStore(directory, store, before.stream.sink, task)
            begun.stream.findings.attention("begun", f"store {store} has no seal yet: has resync_sink just made it?")
            begun.newest([path], continues={"store": before.stream.store})
            report.streams.append(begun.end())


def _number(name: str) -> int:
    found = FILE.fullmatch(name)
    return int(found.group(2)) if found else -1


def _store_of(path: Path) -> str | None:
    """Returns the store of a file's documents, according to the first of the extension's own documents."""
    with path.open("rb") as file:
        for line in lines_of(file):
            if (start := line.find(OWN_SOURCE)) >= 0:
                start += len(OWN_SOURCE)
                return line[start : line.find(b'"', start)].decode(errors="replace")
    return None


class _Loose:
    """Files that no seal names:

    - the newest file, which is being written
    - the file before it, whose line is not written yet
    - the last files of a store that was replaced
    """

    def __init__(self, directory: Path, database: str, named: set[str]) -> None:
        found = [
            path
            for path in directory.iterdir()
            if (name := FILE.fullmatch(path.name))
            and name.group(1) == database
            and path.name not in named
            and path.stat().st_size
        ]
        self.left = sorted(found, key=lambda path: _number(path.name))

    def is_named(self, name: str) -> None:
        """Removes a file that a line written meanwhile names."""
        self.left = [path for path in self.left if path.name != name]

    def take(self, store: str, newest: int, before: int | None) -> list[Path]:
        """Takes a store's own last files, after its newest file with a seal. before: the first file of the store that
        follows.
        """
        found = []
        for path in self.left[-2:] if before is None else self.left:
            own, number = _store_of(path), _number(path.name)
            if number > newest and (own == store or own is None and (before is None or number < before)):
                found.append(path)
        self.left = [path for path in self.left if path not in found[-2:]]
        return found[-2:]


def verify(where: str, task: Task, report: Report) -> None:
    """All databases of a directory."""
    directory = Path(where)
    if not directory.is_dir():
        raise CannotLook(f'folder "{where}" does not exist')
    lists = sorted(directory.glob("*" + SEALS))
    for path in lists:
        _database(path, directory, task, report)
    if not _without_seals(directory, {path.name.removesuffix(SEALS) for path in lists}, task, report) and not lists:
        raise CannotLook(
            f'folder "{where}" has no files of the NDJSON sink (<database>-<number>.ndjson, <database>{SEALS})'
        )


def _without_seals(directory: Path, known: set[str], task: Task, report: Report) -> int:
    """Reads databases without a list of seals. Returns how many there are.

    Such a database has at most two files of each store: the one that is being written, and the one whose line is not
    written yet.
    """
    databases = sorted(
        {name.group(1) for path in directory.iterdir() if (name := FILE.fullmatch(path.name)) and path.stat().st_size}
        - known
    )
    for database in databases:
        of_store: dict[str, list[Path]] = {}
        store = ""
        for path in _Loose(directory, database, set()).left:
            own = _store_of(path)
            store = own if own is not None and seals.UUID.fullmatch(own) else store
            of_store.setdefault(store, []).append(path)
        if any(len(paths) > 2 for paths in of_store.values()):
            count = sum(map(len, of_store.values()))
            report.findings.wrong(
                "seal-missing",
                f'no seal names the {count} files of database "{database}": {database}{SEALS} was removed, or the files were put there',
            )
        else:
            _all_begun(directory, database, of_store, task, report)
    return len(databases)


def _all_begun(directory: Path, database: str, of_store: dict[str, list[Path]], task: Task, report: Report) -> None:
    """Reads the documents of a database without a finished file.

    No seal tells whether other documents preceded them.
    """
    for store, paths in of_store.items():
        names = f'the {"file" if len(paths) == 1 else "files"} {" and ".join(path.name for path in paths)} of database "{database}" {"has" if len(paths) == 1 else "have"} no seal yet'
        ask = f"Has the database just begun to deliver, or was {database}{SEALS} removed?"
        if not store:
            report.findings.attention(
                "begun",
                f"{names}, and {'was' if len(paths) == 1 else 'were'} not read, because no document in {'it' if len(paths) == 1 else 'them'} names its store. {ask}",
            )
            continue
        begun = NdjsonStore(directory, store, SINK, task)
        begun.stream.rootless = True
        begun.stream.findings.attention(
            "begun", f"{names}, so nothing proves the documents, nor that there were none before them. {ask}"
        )
        if store == next(reversed(of_store)):
            begun.newest(paths)
        else:
            begun.replaced(paths)
        report.streams.append(begun.end())
