"""Keeps events that the trail does not have yet in a file that survives a crash and a power failure.

SQLite runs in WAL mode with synchronous=FULL. An accepted event stands for an answer that was given or an action that
was performed, so a power failure must not lose it. Nor may a number be given twice, which could happen after a lost
commit (synchronous=NORMAL). Appends that arrive during a write share the next write.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .events import REFUSED_EVENT, Event, make_event

T = TypeVar("T")

TABLES = """
create table if not exists spool (source text not null);
create table if not exists event (
    sequence  integer primary key autoincrement,    -- autoincrement: none is given twice
    id        text    not null,
    text      text    not null,
    stands_in integer not null default 0            -- for one that was refused
);
create table if not exists rejected (sequence integer primary key, id text not null, text text not null, error text not null);
"""


class SpoolError(Exception):
    """The spool cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event in the spool."""

    sequence: int
    event: Event
    stands_in: bool


class Spool:
    """The file of one source, for one process at a time.

    It has a thread of its own. So the loop never waits for the disk, and the disk never waits for a name server that
    hangs in the loop's threads.
    """

    def __init__(self, path: str | Path, source: str) -> None:
        self.source = source
        self._path = Path(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="admin_client.spool")
        self._waiting: list[tuple[Event, asyncio.Future[int]]] = []
        self._writer: asyncio.Task[None] | None = None
        self.appended = asyncio.Event()
        """Something has come since this was cleared."""
        self.is_empty = asyncio.Event()
        """Set by whoever has shipped all there was."""
        self._database: sqlite3.Connection

    async def open(self) -> None:
        """Opens the file. Raises SpoolError if it is in use, cannot be written, or belongs to another source."""
        try:
            await self._run(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def append(self, event: Event) -> int:
        """Returns the event's number once it is on the disk. Raises SpoolError."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await done

    async def first(self, most: int, most_bytes: int) -> list[Numbered]:
        """Returns the oldest events in order of their numbers: at most this many events and bytes, but at least one
        event if there is one.
        """
        return await self._run(lambda: self._first(most, most_bytes))

    async def settle(self, taken: Iterable[int], refused: Iterable[tuple[Numbered, str]]) -> None:
        """Removes the events that the trail has, and sets aside those that it has refused, with the reason.

        A refused event's number goes to an event that reports the refusal. So a missing number in the trail always
        means loss.
        """
        await self._run(lambda: self._settle(list(taken), list(refused)))

    async def count(self) -> int:
        """Returns how many events wait to be shipped."""
        return await self._run(lambda: int(self._database.execute("select count(*) from event").fetchone()[0]))

    async def rejected(self) -> list[tuple[int, str, str]]:
        """Returns the events that were set aside: number, document, reason."""
        return await self._run(
            lambda: self._database.execute("select sequence, text, error from rejected order by sequence").fetchall()
        )

    async def close(self, seconds: float) -> None:
        """Closes the file. A write in progress is completed first, if that takes no longer than this many seconds."""
        try:
            async with asyncio.timeout(seconds):
                if self._writer is not None:
                    await asyncio.wait([self._writer])
                await self._run(self._close)
        except (TimeoutError, SpoolError):
            pass
        finally:
            self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            is_taken = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            raise SpoolError(f"spool {self._path}: {'another process has it' if is_taken else error}") from error
        except RuntimeError as error:  # the thread is gone
            raise SpoolError(f"spool {self._path} is closed") from error

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                numbers = await self._run(lambda: self._append([event for event, _ in batch]))
            except Exception as error:
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            self.is_empty.clear()
            self.appended.set()
            for (_, done), number in zip(batch, numbers):
                if not done.done():  # the caller may have given up; the event stays
                    done.set_result(number)

    # What follows runs in the thread.

    def _open(self) -> None:
        self._database = database = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            database.execute("pragma locking_mode = exclusive")  # one process at a time; ends with the process
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = full")
            database.executescript(TABLES)
            with _transaction(database):
                known = database.execute("select source from spool").fetchone()
                if known is None:
                    database.execute("insert into spool values (?)", (self.source,))
                elif known[0] != self.source:
                    raise SpoolError(f"spool {self._path} is of the source {known[0]!r}, not {self.source!r}")
        except BaseException:
            database.close()
            raise

    def _append(self, events: list[Event]) -> list[int]:
        with _transaction(self._database):
            return [
                self._database.execute("insert into event (id, text) values (?, ?)", (event.id, event.text)).lastrowid
                or 0
                for event in events
            ]

    def _first(self, most: int, most_bytes: int) -> list[Numbered]:
        found: list[Numbered] = []
        size = 0
        for sequence, id, text, stands_in in self._database.execute(
            "select sequence, id, text, stands_in from event order by sequence limit ?", (most,)
        ):
            size += len(text)
            if found and size > most_bytes:
                break
            found.append(Numbered(sequence, Event(id, text), bool(stands_in)))
        return found

    def _settle(self, taken: list[int], refused: list[tuple[Numbered, str]]) -> None:
        with _transaction(self._database):
            for numbered, error in refused:
                if numbered.stands_in:  # refused as well: the gap in the numbers shows it
                    taken.append(numbered.sequence)
                    continue
                self._database.execute(
                    "insert into rejected values (?, ?, ?, ?)",
                    (numbered.sequence, numbered.event.id, numbered.event.text, error),
                )
                stand_in = make_event(self.source, REFUSED_EVENT, {"id": numbered.event.id, "error": error})
                self._database.execute(
                    "update event set id = ?, text = ?, stands_in = 1 where sequence = ?",
                    (stand_in.id, stand_in.text, numbered.sequence),
                )
            self._database.executemany("delete from event where sequence = ?", [(sequence,) for sequence in taken])

    def _close(self) -> None:
        self._database.close()


class _transaction:
    """Commits, or rolls back what an exception has left half done."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("begin immediate")

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        self._database.execute("commit" if failure is None else "rollback")
