"""What the report says is for people who are no engineers: no text of Python's own, and what each kind of finding means."""

import ast
import binascii
from datetime import datetime, timedelta
from pathlib import Path

import evidence_sources as sources
import pytest
from admin_client.parity import instant
from admin_client.verify import meaning, safe
from admin_client.verify.contents import ACTS
from admin_client.verify.html import escape
from admin_client.verify.report import lines
from admin_client.verify.run import Source
from evidence_sources import OTHER_STORE, STORE, Archive, History, Writer, history
from test_verify_damaged import DOCUMENTS
from test_verify_honest import keys, place_two, verified  # noqa: F401  (a fixture)
from verify_attacks import World
from verify_command import verify

SOURCE = Path(safe.__file__).parent
OF_PYTHON = (
    "codec",
    "column",
    "decode using",
    "Traceback",
    "Error",
    "literal",
    "isoformat",
    "'NoneType'",
    "object is not",
)


def codes():
    """Of every finding that the verifier can make."""
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("wrong", "attention")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield node.func.attr, node.args[0].value


def test_each_kind_of_finding_has_a_meaning():
    found = set(codes())
    assert len(found) > 50 and not [each for each in found if not meaning.meaning(*each)]


def test_each_meaning_is_of_a_kind_that_exists():
    found = {*codes(), *(("attention", act) for act in ACTS)}
    assert not [code for code in meaning.WRONG if ("wrong", code) not in found] and not [
        code for code in meaning.ATTENTION if ("attention", code) not in found
    ]
    assert all(meaning.meaning("attention", act) for act in ACTS)


def test_the_report_says_what_its_findings_mean(tmp_path):
    world = World(tmp_path)
    path = world.files("archive")[1]
    world.store_lines(path, world.lines(path)[1:])
    status, said = verify(*world.arguments("archive"), "--html", tmp_path / "page", "--json", tmp_path / "json")
    assert all(escape(meaning.WRONG["count"]) in (tmp_path / name).read_text() for name in ("page", "json"))
    assert status == 1 and f"\nwrong count means: {meaning.WRONG['count']}\n" in said, said


@pytest.mark.parametrize("make", [make for make, _ in DOCUMENTS.values()], ids=DOCUMENTS)
def test_a_document_that_cannot_be_read_is_explained_in_words(keys, tmp_path, make, monkeypatch):  # noqa: F811
    monkeypatch.setattr(sources, "newest_of", lambda _: sources.BEGIN + timedelta(days=2))
    Archive(tmp_path / "archive").write(History([*history().documents, make()], [len(history().documents), 1]))
    said = "\n".join(lines(verified(keys, Source("archive", f"{tmp_path}/archive"))))
    assert not [text for text in OF_PYTHON if text in said.replace(str(tmp_path), "")], said


@pytest.mark.parametrize(
    "text, says",
    [
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark"),
        (b"\xff", "it has bytes that are no letters in UTF-8"),
        (b"", "it is empty"),
        (b"{]", "it is no JSON from its character 2 on"),
        (b'{"a":1,"a":1}', "a member is there twice"),
        (b"[" * 200_000, "it is nested too deeply"),
        (b"9" * 5000, "a member has a value that is not of its kind"),
    ],
)
def test_what_is_no_json_is_explained_in_words(text, says):
    with pytest.raises(ValueError) as found:
        safe.load_json(text)
    assert says in safe.why(found.value)


@pytest.mark.parametrize(
    "error, says",
    [
        (KeyError("row"), 'it has no member "row"'),
        (TypeError("'NoneType' object is not iterable"), "a member has a value that is not of its kind"),
        (safe.Unreadable("its audit_id is none"), "its audit_id is none"),
        (instant.NoInstant("'x' is no instant"), "'x' is no instant"),
        (binascii.Error("Excess data after padding"), "a value is not base64"),
    ],
)
def test_an_exception_is_explained_in_words(error, says):
    assert safe.why(error) == says


@pytest.mark.parametrize(
    "call",
    [
        lambda: int("x"),
        lambda: int("9" * 5000),
        lambda: bytes.fromhex("0"),
        lambda: dict([(1, 2, 3)]),
        lambda: datetime(2026, 2, 30),
        lambda: datetime.fromisoformat("x"),
        lambda: float("x"),
        lambda: b"x".index(b"y"),
        lambda: "x".index("y"),
        lambda: instant.parse("2026-02-30T00:00:00Z"),
    ],
)
def test_no_text_of_python_is_shown(call):
    with pytest.raises((ValueError, TypeError)) as found:
        call()
    assert safe.why(found.value) == "a member has a value that is not of its kind"


def test_the_verifier_raises_nothing_of_python_whose_text_would_not_be_shown():
    assert not [path.name for path in SOURCE.glob("*.py") if "raise ValueError" in path.read_text()]


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["archive", "topic", "ndjson"])
def test_stores_that_continue_each_other_are_named(keys, tmp_path, kind):  # noqa: F811
    """Each names a chain that the other one has, so nothing but the circle is wrong."""
    first, second = history(3), History([Writer(OTHER_STORE, first=5000).issue("APP-777777-x")], [1], OTHER_STORE)
    first.continues = {"store": OTHER_STORE, "last": 1, "chain": second.chains()[-1]}
    second.continues = {"store": STORE, "last": len(first.documents), "chain": first.chains()[-1]}
    source = place_two(tmp_path, first, second)[kind]
    report = verified(keys, source)
    said = "\n".join(lines(report))
    assert report.status == 1, said
    assert all(
        f"store {one} says that it continues store {other}" in said
        for one, other in ((STORE, OTHER_STORE), (OTHER_STORE, STORE))
    ), said
    assert "none of them was the first, which cannot be" in said, said


def test_a_decision_with_another_count_says_what_differs(keys, tmp_path):  # noqa: F811
    writer = Writer()
    documents = [
        writer.issue("APP-100001-x"),
        *writer.sign("APP-100001-x", "finance", "ann"),
        writer.withdraw("APP-100001-x"),
        writer.check("APP-100001-x", signature_count=2),
    ]
    Archive(tmp_path / "archive").write(History(documents, [len(documents)]))
    said = "\n".join(lines(verified(keys, Source("archive", f"{tmp_path}/archive"))))
    assert "lead to deny (approval_withdrawn), but with signature_count 1, not 2" in said, said
