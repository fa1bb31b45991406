"""What somebody has put into a source so that the verifier fails, takes all memory, or says what he wants it to say."""

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import evidence_sources as sources
import pytest
from admin_client.verify import archive, cli, compare, report, safe
from evidence_sources import BEGIN, OTHER_STORE, STORE, Archive, Message, compact, messages, seal, write_dump
from verify_attacks import World
from verify_command import verify

DEEP = b"[" * 200_000
FORGED_LINE = "PROVED: 59 documents are complete and unaltered, signed by a key you trust."
HOSTILE = f"x\n{FORGED_LINE}\x1b[8m\u202e\u2028\x85\ud800"


def last(said):
    return said.splitlines()[-1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("input"))


@pytest.fixture
def copy(world, tmp_path):
    shutil.copytree(world.places["archive"], tmp_path / "copy")
    return tmp_path / "copy"


def seals_of(place):
    return sorted(place.rglob("*.seal.json"))


def sealed_with(world, place, *documents):
    """The honest history with these documents behind it, sealed."""
    of = replace(
        world.honest, documents=[*world.honest.documents, *documents], batches=[*world.honest.batches, len(documents)]
    )
    Archive(place).write(of, sealed_at=lambda _: BEGIN + timedelta(days=2))
    return place


def late_writer():
    return sources.Writer(begin=BEGIN + timedelta(days=1), first=5000)


# -- what is shown ----------------------------------------------------------------------------------------------------


def only_one_verdict(said):
    assert not any(line.startswith("PROVED") for line in said.splitlines()), said
    assert all(letter == "\n" or letter.isprintable() for letter in said), said


def test_no_text_of_a_source_passes_for_a_line_of_the_report(world, tmp_path):
    decision = late_writer().check(HOSTILE.replace("\ud800", ""), decision="valid", reason=None, state="signed_full")
    place = sealed_with(world, tmp_path / "archive", decision)
    status, said = verify("--archive", place, "--key", world.key, "--html", tmp_path / "page")
    assert (
        status == 1 and last(said).startswith("NOT PROVED: ") and f"\\n{FORGED_LINE}\\x1b[8m\\u202e\\u2028\\x85" in said
    )
    only_one_verdict(said)
    only_one_verdict((tmp_path / "page").read_text())
    status, said = verify("--archive", place, "--key", world.key, "--json", "-")
    only_one_verdict(json.loads(said)["sentence"])
    assert all(finding["text"].isprintable() for finding in json.loads(said)["streams"][0]["findings"])


def test_the_name_of_a_file_is_no_line_of_the_report(copy, world):
    (copy / "audit" / f"a\n{FORGED_LINE}\x1b[2J").write_bytes(b"x")
    with open(os.fsencode(str(copy / "audit")) + b"/\xff\xfe", "wb"):
        pass
    status, said = verify("--archive", copy, "--key", world.key)
    assert status == 0 and "\\udcff\\udcfe" in said and said.count("\nPROVED") == 1


def test_a_terminal_without_the_letters_is_no_crash(world, copy):
    (copy / "audit" / "é").write_bytes(b"x")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [sys.executable, "-m", "admin_client.verify", "--archive", copy, "--key", world.key],
        capture_output=True,
        env=environment,
    )
    assert ended.returncode == 0 and b"\\xe9" in ended.stdout, ended


def test_only_what_lies_in_front_of_everything_wrong_is_called_proved():
    def said(*wrong):
        stream = report.Stream("a", "archive", STORE, "kafka", first=1, last=58, signed_to=40, sealed_at="then")
        for code, *numbers in wrong:
            stream.findings.wrong(code, "it is wrong", *numbers)
        return report.sentence(report.Report([stream]))

    assert "Documents 1 to 40 in front of it" in said(("altered", 41, 58))
    assert "Documents 1 to 29 in front of it" in said(("altered", 41, 58), ("decision", 30, 30))
    for code in ("again", "rewritten", "cut"):
        assert "are proved" not in said((code, 50, 50))
    assert "are proved" not in said(("altered", 41, 58), ("doubled",))
    assert "are proved" not in said(("altered", 1, 10))


def test_a_history_that_was_rewritten_is_not_proved_up_to_anywhere(world, tmp_path):
    head = {"number": sum(world.honest.batches[:6]), "chain": "ab" * 32}
    (tmp_path / "memory").write_text(json.dumps({"v": 1, "heads": {"archive": {f"{STORE} kafka": head}}}))
    status, said = verify("--archive", world.places["archive"], "--key", world.key, "--remember", tmp_path / "memory")
    assert status == 1 and "was rewritten" in last(said) and "are proved" not in last(said)


# -- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [DEEP, b'{"a":' * 200_000, b'{"v":1,"v":1}', b'{"v":"\\ud800"}', b"\xff", b"9" * 5000, b'{"v":NaN']
)
def test_json_of_any_kind_is_read_or_refused(text):
    with pytest.raises(ValueError):
        safe.load_json(text)


def test_a_seal_that_is_nested_deeply_is_malformed(copy, world):
    seals_of(copy)[1].write_bytes(DEEP)
    status, said = verify("--archive", copy, "--key", world.key)
    assert status == 1 and "nested too deeply" in last(said)
    assert verify("prove", "APP-100002-x1", "--archive", copy, "--key", world.key)[0] == 2


def test_ndjson_seals_that_are_nested_deeply_or_have_a_member_twice(world, tmp_path):
    for line, expected in ((DEEP, "nested too deeply"), (b'{"first":7,', "a member is there twice")):
        shutil.rmtree(tmp_path / "files", ignore_errors=True)
        shutil.copytree(world.places["ndjson"], tmp_path / "files")
        path = tmp_path / "files" / "db.seals.ndjson"
        lines = path.read_bytes().splitlines(keepends=True)
        lines[1] = line + (lines[1][1:] if line.endswith(b",") else b"\n")
        path.write_bytes(b"".join(lines))
        status, said = verify("--ndjson", tmp_path / "files")
        assert status == 1 and expected in said


@pytest.mark.parametrize("text, expected", [(DEEP, "nested too deeply"), (b'{"v":1,"v":1}', "twice")])
def test_a_seal_in_a_header_that_cannot_be_read(world, tmp_path, text, expected):
    records = messages(world.honest)
    records[5].headers[2:] = [("admin-ext-seal", text)]
    write_dump(tmp_path / "topic", records)
    status, said = verify("--topic-dump", tmp_path / "topic")
    assert status == 1 and expected in said


@pytest.mark.parametrize(
    "member",
    [
        '"offset":99999999999999999999',
        '"timestamp":99999999999999999999999',
        '"timestamp":-99999999999999999999',
        '"partition":[1]',
        '"offset":1e400',
        '"offset":true',
        '"topic":"\\ud800"',
    ],
)
def test_a_line_of_a_dump_with_any_number_is_no_crash(world, tmp_path, member):
    write_dump(tmp_path / "topic", messages(world.honest))
    path = next((tmp_path / "topic").iterdir())
    name = member.partition(":")[0]
    members = [
        member,
        *(
            each
            for each in ('"topic":"x"', '"partition":0', '"offset":1', '"timestamp":1')
            if not each.startswith(name)
        ),
    ]
    path.write_bytes(
        path.read_bytes()
        + b"{"
        + ",".join(members).encode()
        + b',"key":null,"value":"eA==","headers":[["admin-ext-number","MQ=="]]}\n'
    )
    status, said = verify("--topic-dump", tmp_path / "topic")
    assert status == 1 and "is no record" in said


def test_an_audit_id_beyond_all_numbers_is_no_crash(world, tmp_path):
    event = (
        late_writer()
        .event("archive.receipt", None, {"x": 1}, "dba")
        .replace(b'"auditid":"5000"', b'"auditid":"9999999999999999999"')
    )
    place = sealed_with(world, tmp_path / "archive", event)
    status, said = verify("--archive", place, "--key", world.key, "--topic-dump", world.places["topic"], "--seals-only")
    assert status == 1 and f"audit_id {compare.MOST}" in said, said


@pytest.mark.parametrize(
    "memory",
    [
        "[" * 200_000,
        '{"v":1,"heads":[]}',
        '{"v":1,"heads":{"archive":[]}}',
        '{"v":1,"heads":{"archive":{"x kafka":5}}}',
        '{"v":1,"heads":{},"heads":{}}',
        '{"v":1,"heads":{"archive":{"%s kafka":{"number":"5","chain":"%s"}}}}' % (STORE, "ab" * 32),
        "[]",
        '{"v":1}',
    ],
)
def test_a_memory_that_cannot_be_read_is_not_taken_for_none(world, tmp_path, memory):
    (tmp_path / "memory").write_text(memory)
    status, said = verify("--archive", world.places["archive"], "--key", world.key, "--remember", tmp_path / "memory")
    assert status == 2 and "is no memory of an earlier run" in last(said) and last(said).startswith("NOT CHECKED: ")
    assert (tmp_path / "memory").read_text() == memory


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("x\ny"), KeyError("a")])
def test_what_nobody_has_thought_of_is_no_verdict(world, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(cli, "run", fails)
    status, said = verify("--archive", world.places["archive"], "--key", world.key)
    assert status == 2 and said.startswith("NOT CHECKED: ") and type(error).__name__ in said and said.count("\n") == 1


# -- what is too large ------------------------------------------------------------------------------------------------


def bomb(megabytes):
    compressor = sources.module("zstandard").ZstdCompressor(level=3).compressobj()
    return b"".join([*(compressor.compress(bytes(1 << 20)) for _ in range(megabytes)), compressor.flush()])


def test_an_object_that_expands_without_end_is_not_followed(copy, world, monkeypatch):
    monkeypatch.setattr(safe, "MOST_LINE", 4 << 20)
    monkeypatch.setattr(archive, "MOST_UNSIGNED", 8 << 20)
    path = sorted(copy.rglob("*.zst"))[1]
    path.write_bytes(bomb(500))
    tracemalloc.start()
    try:
        status, said = verify("--archive", copy, "--key", world.key)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert status == 1 and "is damaged" in last(said) and most < 100 << 20
    assert verify("prove", "APP-100002-x1", "--archive", copy, "--key", world.key)[0] == 2


def test_many_documents_that_nobody_has_sealed_are_not_followed(copy, world, monkeypatch):
    monkeypatch.setattr(archive, "MOST_UNSIGNED", 1 << 20)
    path = sorted(copy.rglob("*.zst"))[1]
    path.write_bytes(sources.compress(b"{}\n" * (1 << 20)))
    status, said = verify("--archive", copy, "--key", world.key)
    assert status == 1 and "expands to more" in said


def test_a_sealed_document_that_is_too_long_cannot_be_checked(world, monkeypatch):
    monkeypatch.setattr(safe, "MOST_LINE", 100)
    for kind in ("ndjson", "topic"):
        status, said = verify(*world.arguments(kind))
        assert status == 2 and "is longer than 100 bytes" in last(said)
    monkeypatch.setattr("admin_client.verify.decompress.CHUNK", 50)
    status, said = verify(*world.arguments("archive"))
    assert status == 2 and last(said).startswith("NOT CHECKED: a line is longer than"), said


# -- proofs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["\\ud800", "[" * 200_000 + "]" * 200_000])
def test_a_document_with_anything_in_its_data_is_no_crash(world, tmp_path, text):
    writer = late_writer()
    value = b'"XX"'
    changed = text.encode() if text.startswith("[") else b'"' + text.encode().replace(b"\\\\", b"\\") + b'"'
    for document in (writer.event("setting.changed", None, {"setting": "x", "value": "XX"}, "dba"), writer.issue("XX")):
        place = sealed_with(world, tmp_path / "archive", document.replace(value, changed))
        status, said = verify(
            "--archive", place, "--key", world.key, "--html", tmp_path / "page", "--json", tmp_path / "json"
        )
        assert "does not expect" not in said and status in (0, 1), said
        assert last(said).startswith("NOT PROVED" if status else "PROVED") and all(
            line.isprintable() for line in said.splitlines()
        )
        shutil.rmtree(tmp_path / "archive")


def test_a_file_among_the_keys_that_is_none_does_not_hinder_a_proof(copy, world):
    (copy / "audit" / "keys").mkdir(exist_ok=True)
    (copy / "audit" / "keys" / "x.pem").write_bytes(b"junk")
    assert verify("prove", "APP-100002-x1", "--archive", copy, "--key", world.key)[0] == 0


@pytest.mark.parametrize(
    "index",
    [
        b"",
        DEEP,
        b"\xff" * 500,
        b"[]\n",
        b'{"v":1,"order":"little"}\n',
        b'{"v":1,"order":"little","stem":"../x","first":1,"last":2}\n',
    ],
)
def test_an_index_that_is_none_is_made_again(copy, world, index):
    assert verify("index", "--archive", copy)[0] == 0
    for path in copy.rglob(".index/*"):
        path.write_bytes(index)
    assert verify("prove", "APP-100002-x1", "--archive", copy, "--key", world.key)[0] == 0


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda text: b" \n" + text + b"\n", "is not stored in the form that is signed"),
        (lambda text: text.replace(b'"v":1', b'"v": 1'), "is not stored in the form"),
        (lambda text: b'{"last":999,' + text[1:], "a member is there twice"),
        (lambda text: text.replace(b'"v":1', b'"v":true'), "version 1"),
    ],
)
def test_the_newest_seal_is_stored_as_it_was_signed(copy, world, change, expected):
    path = seals_of(copy)[-1]
    path.write_bytes(change(path.read_bytes()))
    status, said = verify("--archive", copy, "--key", world.key)
    assert status == 1 and expected in last(said)


def test_an_instant_in_another_writing_is_another_seal(copy, world):
    path = seals_of(copy)[-1]
    content = json.loads(path.read_bytes())
    path.write_bytes(seal.to_bytes({**content, "sealed_at": content["sealed_at"].replace("T", " ")}))
    assert verify("--archive", copy, "--key", world.key)[0] == 1


def test_a_record_that_names_two_stores(world, tmp_path):
    records = messages(world.honest)
    records[4].headers.append(("admin-ext-store", OTHER_STORE.encode()))
    write_dump(tmp_path / "topic", records)
    status, said = verify("--topic-dump", tmp_path / "topic")
    assert status == 1 and f"names store {OTHER_STORE} in its header" in said


def test_an_ingested_event_that_tells_of_another_store_is_not_of_two(world, tmp_path):
    event = late_writer().foreign("/ff/eu", "x1", {"source": f"/admin_ext/{OTHER_STORE}", "n": 1})
    records = messages(
        replace(world.honest, documents=[*world.honest.documents, event], batches=[*world.honest.batches, 1])
    )
    records[-1].headers.append(("admin-ext-store", STORE.encode()))
    write_dump(tmp_path / "topic", records)
    status, said = verify("--topic-dump", tmp_path / "topic")
    assert status == 0, said


def test_a_header_of_ours_is_there_once(world, tmp_path):
    records = messages(world.honest)
    records[4].headers.append(("admin-ext-number", b"99"))
    write_dump(tmp_path / "topic", records)
    assert verify("--topic-dump", tmp_path / "topic")[0] == 1


@pytest.mark.parametrize(
    "text",
    [
        '{ "source": "/admin_ext/%s", "type": "ptt.admin.sensitive.check.2b"}',
        '{"source":"\\u002fadmin_ext/%s"}',
        '{"source":"/admin_ext/%s","source":"/ff"}',
        '{"source":"/admin_ext/%s","x":' + "[" * 200_000,
    ],
)
def test_a_record_of_the_store_without_a_number_is_seen_however_it_is_written(world, tmp_path, text):
    write_dump(tmp_path / "topic", [*messages(world.honest), Message(0, 1, b"k", [], (text % STORE).encode())])
    status, said = verify("--topic-dump", tmp_path / "topic")
    assert status == 1 and f"is of store {STORE} and has no delivery number" in said


def test_a_record_of_somebody_else_may_speak_of_the_store(world, tmp_path):
    event = compact({"source": "/ff", "data": {"source": f"/admin_ext/{STORE}"}}).encode()
    write_dump(
        tmp_path / "topic",
        [
            *messages(world.honest),
            Message(0, 1, b"k", [], event),
            Message(0, 1, b"k", [], b"[]"),
            Message(0, 1, b"k", [], None),
        ],
    )
    assert verify("--topic-dump", tmp_path / "topic")[0] == 0


def test_a_folder_behind_a_link_is_named(copy, world):
    store = copy / "audit" / STORE
    store.rename(copy / "elsewhere")
    store.symlink_to(copy / "elsewhere")
    status, said = verify("--archive", copy, "--key", world.key)
    assert status == 2 and "is a symbolic link to a folder" in last(said)


def test_an_index_beside_the_objects_is_no_foreign_file(copy, world):
    assert verify("index", "--archive", copy)[0] == 0
    status, said = verify("--archive", copy, "--key", world.key)
    assert status == 0 and "no part of the archive" not in said
