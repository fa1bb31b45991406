"""Files that others have damaged or rewritten: each ends with a finding that names the file, within bounded memory and time."""

import gzip
import json
import resource
import shutil
import subprocess
import sys
from dataclasses import replace

import evidence_sources as sources
import pytest
from admin_client.verify import safe
from evidence_sources import BEGIN, Archive, Writer, compress, decompress, messages, timedelta, write_dump
from verify_attacks import World
from verify_command import verify

MEMORY = 800 << 20
SECONDS_OF_CPU = 60
RUN = "import sys; from admin_client.verify.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("damaged"))


def bounded(*arguments) -> tuple[int, str]:
    """The verifier in a process that the kernel ends beyond these bounds.  Exit status and output."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_OF_CPU, SECONDS_OF_CPU))

    ended = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout + ended.stderr


def named(said: str, status: int, *words: str) -> None:
    assert status == 1 and said.splitlines()[-1].startswith("NOT PROVED: ") and "does not expect" not in said, said
    assert any(line.split()[0] == "wrong" and all(word in line for word in words) for line in said.splitlines()), said


def skippable(data: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


def plainly(change):
    """A change of what an object contains."""
    return lambda data: compress(change(decompress(data)))


def expanding(data: bytes) -> bytes:
    """About 60 kB that become 600 MB."""
    compressor = sources.module("zstandard").ZstdCompressor(level=3).compressobj()
    return b"".join([*(compressor.compress(bytes(1 << 20)) for _ in range(600)), compressor.flush()])


OBJECTS = {
    "cut off": lambda data: data[:-7],
    "cut off at once": lambda data: data[:3],
    "empty": lambda data: b"",
    "more bytes": lambda data: data + b"\0\0\0\0",
    "junk behind the frame": lambda data: data + b"junk that is no frame",
    "another frame": lambda data: data + compress(b"{}\n"),
    "the frame twice": lambda data: data + data,
    "a frame to be skipped": lambda data: data + skippable(b"hidden"),
    "in front of it one to be skipped": lambda data: skippable(b"hidden") + data,
    "in two frames": lambda data: compress(decompress(data), 500),
    "a bomb": expanding,
    "gzip": lambda data: gzip.compress(decompress(data)),
    "not compressed": decompress,
    "a byte order mark": plainly(lambda text: b"\xef\xbb\xbf" + text),
    "CRLF": plainly(lambda text: text.replace(b"\n", b"\r\n")),
    "no last line feed": plainly(lambda text: text[:-1]),
    "an empty line": plainly(lambda text: text + b"\n"),
    "a line of 100 MB": plainly(lambda text: text + b'"' + b"x" * (100 << 20) + b'"\n'),
    "deep": plainly(lambda text: text + b"[" * 1_000_000 + b"\n"),
}


@pytest.mark.parametrize("how", OBJECTS)
def test_a_damaged_object_is_named(world, how, tmp_path):
    shutil.copytree(world.places["archive"], tmp_path / "copy")
    path = sorted((tmp_path / "copy").rglob("*.zst"))[1]
    path.write_bytes(OBJECTS[how](path.read_bytes()))
    status, said = bounded("--archive", tmp_path / "copy", "--key", world.key)
    named(said, status, path.name)


FILES = {
    "cut off": lambda text: text[:-7],
    "empty": lambda text: b"",
    "more bytes": lambda text: text + b"\0\0\0\0",
    "compressed": compress,
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "no last line feed": lambda text: text[:-1],
    "an empty line": lambda text: text + b"\n",
    "a line of 100 MB": lambda text: text + b'"' + b"x" * (100 << 20) + b'"\n',
    "deep": lambda text: text + b"[" * 1_000_000 + b"\n",
    "UTF-16": lambda text: text.decode().encode("utf-16"),
}


@pytest.mark.parametrize("how", FILES)
def test_a_damaged_file_of_documents_is_named(world, how, tmp_path):
    shutil.copytree(world.places["ndjson"], tmp_path / "copy")
    path = sorted((tmp_path / "copy").glob("db-*.ndjson"), key=lambda path: int(path.stem.partition("-")[2]))[1]
    path.write_bytes(FILES[how](path.read_bytes()))
    status, said = bounded("--ndjson", tmp_path / "copy")
    named(said, status, path.name)


LINES = {
    key: FILES[key]
    for key in ("cut off", "more bytes", "a byte order mark", "an empty line", "deep", "a line of 100 MB", "UTF-16")
}


@pytest.mark.parametrize("how", LINES)
def test_a_damaged_dump_is_named(world, how, tmp_path):
    write_dump(tmp_path / "copy", messages(world.honest))
    path = sorted((tmp_path / "copy").iterdir())[0]
    path.write_bytes(LINES[how](path.read_bytes()))
    status, said = bounded("--topic-dump", tmp_path / "copy")
    named(said, status, path.name)


# -- documents whose chain and seals were computed again, with the archive's own key --------------------------------------


def event(data: str) -> bytes:
    return (
        Writer(begin=BEGIN + timedelta(days=1), first=5000)
        .issue("APP-888888-x")
        .replace(b'"payout"', data.encode("utf-8", "surrogatepass"))
    )


DOCUMENTS = {
    "a member twice": (lambda: event('"payout","action":"payout"'), "a member is there twice"),
    "NaN": (lambda: event("NaN"), "NaN is no number"),
    "infinity": (lambda: event("-Infinity"), "-Infinity is no number"),
    "half a character": (lambda: event('"\ud800"'), "cannot be read"),
    "a byte that is no UTF-8": (lambda: event('"x"').replace(b'"x"', b'"\xff"'), "cannot be read"),
    "a control character": (lambda: event('"\x01"'), "cannot be read"),
    "deep": (lambda: event("[" * 200_000 + "]" * 200_000), "cannot be read"),
    "a carriage return at its end": (lambda: event('"payout"') + b"\r", "cannot be read"),
    "a byte order mark": (lambda: b"\xef\xbb\xbf" + event('"payout"'), "cannot be read"),
    "a long number": (lambda: event("9" * 100_000), "cannot be read"),
    "no JSON": (lambda: b"x", "cannot be read"),
    "nothing": (lambda: b"", "cannot be read"),
}


@pytest.mark.parametrize("kind", ["archive", "topic", "ndjson"])
@pytest.mark.parametrize("what", DOCUMENTS)
def test_a_document_that_no_extension_wrote_is_named_though_its_chain_fits(world, what, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "newest_of", lambda _: BEGIN + timedelta(days=2))
    document, words = DOCUMENTS[what][0](), DOCUMENTS[what][1]
    of = replace(world.honest, documents=[*world.honest.documents, document], batches=[*world.honest.batches, 1])
    number = len(of.documents)
    if kind == "archive":
        Archive(tmp_path / "copy").write(of)
        arguments = ["--archive", tmp_path / "copy", "--key", world.key]
    elif kind == "topic":
        records = messages(replace(of, documents=[*of.documents[:-1], of.documents[0]]))
        chains = of.chains()
        name, text = records[-1].headers[-1]
        records[-1] = replace(
            records[-1],
            value=document,
            headers=[*records[-1].headers[:-1], (name, json.dumps({**json.loads(text), "chain": chains[-1]}).encode())],
        )
        write_dump(tmp_path / "copy", records)
        arguments = ["--topic-dump", tmp_path / "copy"]
    else:
        sources.write_ndjson(
            tmp_path / "copy",
            replace(of, documents=[*of.documents, of.documents[0]], batches=[*of.batches, 1]).to("ndjson"),
        )
        arguments = ["--ndjson", tmp_path / "copy"]
    status, said = verify(*arguments)
    assert status == 1 and "does not expect" not in said, said
    assert any(
        line.split()[0] == "wrong" and f"document {number}" in line and words in line for line in said.splitlines()
    ), said


def test_what_was_sealed_in_several_frames_is_proved(tmp_path, world):
    Archive(tmp_path / "copy", frame=500).write(world.honest)
    assert bounded("--archive", tmp_path / "copy", "--key", world.key)[0] == 0


def test_a_sealed_line_that_is_too_long_ends_without_a_verdict(world, tmp_path, monkeypatch):
    """Somebody with the key has sealed a line that no database writes: nothing is proved, and memory stays bounded."""
    monkeypatch.setattr(sources, "newest_of", lambda _: BEGIN + timedelta(days=2))
    of = replace(
        world.honest,
        documents=[*world.honest.documents, b"x" * (safe.MOST_LINE + 1)],
        batches=[*world.honest.batches, 1],
    )
    Archive(tmp_path / "copy").write(of)
    status, said = bounded("--archive", tmp_path / "copy", "--key", world.key)
    assert status == 2 and said.splitlines()[-1].startswith("NOT CHECKED: a line is longer than")


# -- memory -----------------------------------------------------------------------------------------------------------

LENGTH = 48 << 20
WITHOUT_DOCUMENTS = 64 << 20
PEAK = RUN.replace(
    "sys.exit(main())",
    "status = main(); print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0], file=sys.stderr); sys.exit(status)",
)


@pytest.fixture(scope="module")
def with_long_documents(tmp_path_factory):
    """Three in a row."""
    place = World(tmp_path_factory.mktemp("long"))
    writer = Writer(begin=BEGIN.replace(month=12), first=5000)
    long = [writer.foreign("/ff/eu-1", f"e-{number}", "x" * LENGTH) for number in range(3)]
    of = replace(
        place.honest,
        documents=[*place.honest.documents, *long, writer.foreign("/ff/eu-1", "e-3", "y")],
        batches=[*place.honest.batches, 1, 1, 2],
    )
    for kind in ("archive", "ndjson", "topic"):
        place.write(kind, of)
    return place


@pytest.mark.parametrize(
    "kind, more, times",
    [
        ("archive", ["--seals-only"], 2.2),
        ("ndjson", ["--seals-only"], 2.2),
        ("topic", ["--seals-only"], 4.2),
        ("archive", [], 5.2),
        ("ndjson", [], 5.2),
        ("topic", [], 5.2),
    ],
)
def test_memory_is_a_multiple_of_the_longest_document(with_long_documents, kind, more, times):
    """As the auditor's page says."""
    ended = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, with_long_documents.arguments(kind)), *more],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    peak = int(ended.stderr.split()[-1]) << 10
    assert peak < WITHOUT_DOCUMENTS + times * LENGTH, f"{peak / LENGTH:.1f} times the longest document"
