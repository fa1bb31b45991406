"""Parses large texts in a separate process.

Python's JSON parser is written in C, and no other Python thread runs while it builds values. A thread that computes
makes the event loop wait for its turn again and again. So the app's own process only sends the text and receives the
result. The process starts with the first large text. It reads one text after the other from its standard input, and
ends when that is closed, even if the app is killed.
"""

from __future__ import annotations

import asyncio
import pickle
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

T = TypeVar("T")

LARGE = 16 * 1024
"""Characters; longer texts go to the process."""
HEAD_BYTES = 8
READ_BYTES = 1024 * 1024
ATTEMPTS = 2
"""Of which the first may find that somebody has ended the process."""


class ParsingEnded(Exception):
    """The process ended at each attempt."""


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answers one question after the other until the source ends."""
    while head := source.read(HEAD_BYTES):
        work, text = pickle.loads(source.read(int.from_bytes(head)))
        try:
            made = pickle.dumps((True, work(text)))
        except Exception as error:
            made = pickle.dumps((False, error))
        target.write(len(made).to_bytes(HEAD_BYTES) + made)
        target.flush()


class Parsing:
    """The process, and the callers that wait for it."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The id of the process; None while there is none."""
        return self._process.pid if self._process else None

    async def run(self, work: Callable[[str], T], text: str) -> T:
        """Returns the result of the work on the text. The work has to be picklable.

        Raises the work's error, and ParsingEnded. A caller that gives up waiting leaves the queue.
        """
        if len(text) <= LARGE:
            return work(text)
        await self._turn.acquire()
        # The caller may give up. The answer has to be read all the same, before the next caller asks.
        asking = asyncio.create_task(self._ask(work, text))
        asking.add_done_callback(self._end_turn)
        return await asyncio.shield(asking)

    def _end_turn(self, asking: asyncio.Task[T]) -> None:
        self._turn.release()
        if not asking.cancelled():
            asking.exception()  # callers that still wait get it, too

    async def _ask(self, work: Callable[[str], T], text: str) -> T:
        question = pickle.dumps((work, text))
        for _ in range(ATTEMPTS):
            try:
                is_made, made = await self._exchange(question)  # the result, or the exception
            except (asyncio.IncompleteReadError, ConnectionError):
                await self.close()
                continue
            if not is_made:
                raise made
            result: T = made
            return result
        raise ParsingEnded

    async def _exchange(self, question: bytes) -> tuple[bool, Any]:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                __name__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=READ_BYTES,
            )
        source, target = self._process.stdout, self._process.stdin
        assert source is not None and target is not None
        target.write(len(question).to_bytes(HEAD_BYTES) + question)
        await target.drain()
        answer: tuple[bool, Any] = pickle.loads(
            await source.readexactly(int.from_bytes(await source.readexactly(HEAD_BYTES)))
        )
        return answer

    async def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal: the app ends this process
    serve(sys.stdin.buffer, sys.stdout.buffer)
