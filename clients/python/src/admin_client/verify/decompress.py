"""Decompresses Zstandard with a Python module if one is installed, otherwise with the program zstd."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Protocol

from .optional import module
from .report import CannotLook
from .safe import Unreadable

CHUNK = 1 << 18
MAGIC, SKIPPABLE = 0xFD2FB528, 0x184D2A50


class Readable(Protocol):
    """All that decompression needs of a file."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or what is left."""


class Damaged(Unreadable):
    """The compressed data is damaged or incomplete."""


def _by_module(file: Readable) -> Iterator[bytes] | None:
    zstandard = module("zstandard")
    if zstandard is None:
        return None

    def chunks() -> Iterator[bytes]:
        try:
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
                while chunk := reader.read(CHUNK):
                    yield chunk
        except zstandard.ZstdError as error:
            raise Damaged(str(error)) from error

    return chunks()


def _feed(file: Readable, pipe: IO[bytes]) -> None:
    try:
        with pipe:
            while data := file.read(CHUNK):
                pipe.write(data)
    except BrokenPipeError:
        pass


def _by_program(file: Readable) -> Iterator[bytes]:
    program = shutil.which("zstd") or shutil.which("unzstd")
    if program is None:
        raise CannotLook(
            'the objects are compressed with Zstandard, and neither the Python module "zstandard" nor the program "zstd" is installed'
        )
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [program, "-d", "-c", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        assert process.stdin is not None and process.stdout is not None
        feeder = threading.Thread(target=_feed, args=(file, process.stdin))
        feeder.start()
        try:
            while chunk := process.stdout.read(CHUNK):
                yield chunk
        finally:
            process.stdout.close()
            feeder.join()
            status = process.wait()
        if status:
            errors.seek(0)
            raise Damaged(errors.read(500).decode(errors="replace").strip() or f"{program} ended with status {status}")


def decompress(file: Readable) -> Iterator[bytes]:
    """Returns the content of a file of one or more frames.

    Raises Damaged. Raises CannotLook if there is neither the module nor the program.
    """
    return _by_module(file) or _by_program(file)


def at_most(limit: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same, but no more bytes than this.  Raises Damaged."""
    for chunk in chunks:
        limit -= len(chunk)
        if limit < 0:
            raise Damaged("it is not what was signed, and expands to more than a verifier should read of that")
        yield chunk


def _frame_header_bytes(descriptor: int) -> int:
    """How long the header is, magic and descriptor included (RFC 8878, section 3.1.1.1)."""
    single, content = descriptor >> 5 & 1, descriptor >> 6
    return 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3] + ((1 if single else 0), 2, 4, 8)[content]


def _content_bytes(header: bytes) -> int | None:
    """Returns the length of the content, if the header states it. Its last bytes are that number."""
    single, size = header[4] >> 5 & 1, header[4] >> 6
    length = ((1 if single else 0), 2, 4, 8)[size]
    return int.from_bytes(header[-length:], "little") + (256 if length == 2 else 0) if length else None


def frames(file: IO[bytes]) -> Iterator[tuple[int, int, int | None]]:
    """Returns offset and length of each frame of a file, and the length of its content if known.

    The lengths in the file are used; no content is decompressed. Raises Damaged.
    """
    at, content, size_of_file = 0, None, file.seek(0, 2)
    file.seek(0)
    while header := file.read(5):
        magic = int.from_bytes(header[:4], "little")
        if magic & 0xFFFFFFF0 == SKIPPABLE:
            size = int.from_bytes(header[4:] + _exactly(file, 3), "little")
            end, content = at + 8 + size, 0
        elif magic == MAGIC and len(header) == 5:
            end = at + _frame_header_bytes(header[4])
            content = _content_bytes(header + _exactly(file, end - at - 5))
            last = 0
            while not last:
                file.seek(end)
                block = int.from_bytes(_exactly(file, 3), "little")
                last, kind, size = block & 1, block >> 1 & 3, block >> 3
                end += 3 + (1 if kind == 1 else size)
            end += 4 if header[4] & 4 else 0
        else:
            raise Damaged("a frame of Zstandard does not begin where it should")
        if end > size_of_file:
            raise Damaged("the end of a Zstandard frame is missing")
        yield at, end - at, content
        at = end
        file.seek(at)


def _exactly(file: IO[bytes], size: int) -> bytes:
    if len(data := file.read(size)) < size:
        raise Damaged("the end of a Zstandard frame is missing")
    return data
