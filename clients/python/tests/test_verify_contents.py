"""What documents may honestly look like raises no alarm, and what the sentence says of what cannot be known."""

import contextlib
import io
import json
import pathlib
import re
from dataclasses import replace
from datetime import timedelta

import evidence_sources as sources
import pytest
from admin_client.verify import cli, contents, document
from admin_client.verify.report import ATTENTION, lines, sentence
from admin_client.verify.run import Source, Wish, run
from evidence_sources import OTHER_STORE, STORE, Archive, History, Writer, compact
from test_verify_honest import clean, history, keys, two_stores, verified  # noqa: F401
from verify_attacks import World
from verify_forgeries import APPROVAL, back_dated_decision, delivered, false_continues, in_form


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def checked(keys, world, **more):  # noqa: F811
    return verified(keys, Source("archive", str(world.places["archive"])), **more)


def with_foreign(data: bytes) -> bytes:
    return (
        Writer(begin=sources.BEGIN + timedelta(days=1), first=5000)
        .foreign("/ff/eu-1", "e-1", {"x": 1})
        .replace(b'{"x":1}', data)
    )


@pytest.mark.parametrize(
    "data, attention",
    [
        (b'{"a":1,"a":2}', 0),
        (b'{"n":' + b"9" * 5000 + b"}", 0),
        (b"[" * 5000 + b"]" * 5000, 1),
        ('{"auditid":"7","é":"\\"auditid\\":"}'.encode(), 0),
    ],
    ids=["twice", "long number", "deep", "auditid in the data"],
)
def test_events_of_others_may_hold_any_json(keys, world, data, attention):  # noqa: F811
    documents = [*world.honest.documents, with_foreign(data)]
    place = world.directory / "any"
    of = replace(world.honest, documents=documents, batches=[*world.honest.batches, 1])
    before, sources.newest_of = sources.newest_of, lambda _: sources.BEGIN + timedelta(days=2)
    try:
        Archive(place).write(of)
    finally:
        sources.newest_of = before
    report = clean(verified(keys, Source("archive", str(place))))
    assert report.count(ATTENTION) == attention, "\n".join(lines(report))


@pytest.mark.parametrize("subject", ["APP-1\\u0000x", 'a "quoted" one', "é\\\\"])
def test_texts_in_front_of_the_data_are_escaped_as_the_worker_does(subject):
    text = (
        Writer()
        .check("APP-100001-x")
        .replace(b'"subject":"APP-100001-x"', b'"subject":"%s"' % subject.replace('"', '\\"').encode())
    )
    assert document.read(text).own


def test_a_row_has_the_same_digest_in_another_store():
    one, two = (Writer(store).event("archive.receipt", None, {"store": STORE}) for store in (STORE, OTHER_STORE))
    assert document.read(one).digest == document.read(two).digest
    foreign = [Writer(store).foreign("/ff", "e", {"store": STORE}) for store in (STORE, OTHER_STORE)]
    assert document.read(foreign[0]).digest == document.read(foreign[1]).digest


def test_a_database_that_was_put_back_is_a_point_to_look_at(keys, tmp_path):  # noqa: F811
    """The newest rows are lost, and their audit_ids were given to others before a new store was made."""
    first, second = two_stores()
    lost = sources.Writer(OTHER_STORE, sources.BEGIN + timedelta(hours=1), len(first.documents) - 1)
    other = [lost.check("APP-999999-none"), lost.check("APP-999998-none")]
    same = [text.replace(STORE.encode(), OTHER_STORE.encode()) for text in first.documents[-5:-2]]
    Archive(tmp_path).write(first)
    Archive(tmp_path).write(replace(second, documents=[*same, *other], batches=[5]))
    report = clean(verified(keys, Source("archive", str(tmp_path))))
    assert "the database was put back to an older state" in "\n".join(lines(report)) and "2 points above" in sentence(
        report
    )


def test_a_row_behind_a_fork_is_not_the_old_one_again(keys, tmp_path):  # noqa: F811
    first, second = two_stores()
    other = sources.Writer(OTHER_STORE, sources.BEGIN + timedelta(hours=1), len(first.documents) - 3)
    again = first.documents[-2].replace(STORE.encode(), OTHER_STORE.encode())
    Archive(tmp_path).write(first)
    Archive(tmp_path).write(replace(second, documents=[other.check("APP-999999-none"), again], batches=[2]))
    assert "came before with other content" in sentence(verified(keys, Source("archive", str(tmp_path))))


def test_an_earlier_store_may_be_removed_on_purpose(keys, tmp_path):  # noqa: F811
    _, second = two_stores()
    Archive(tmp_path).write(second)
    source = Source("archive", str(tmp_path))
    assert "which is not here; if it was removed on purpose" in sentence(verified(keys, source))
    report = clean(verified(keys, source, earlier_removed=True))
    unknown = report.streams[0].unknown_decisions
    assert (
        unknown
        and f"{report.streams[0].decisions:,} of {report.streams[0].decisions + unknown:,} decision" in sentence(report)
        and "the beginning is not here" in sentence(report)
    )


def test_a_store_before_that_delivered_nothing_is_not_missing(keys, tmp_path):  # noqa: F811
    start = sources.chain.start(OTHER_STORE, "kafka").hex()
    Archive(tmp_path).write(replace(history(), continues={"store": OTHER_STORE, "last": 0, "chain": start}))
    report = clean(verified(keys, Source("archive", str(tmp_path)), stores=[STORE]))
    assert report.count(ATTENTION) == 0 and "Every approval and every decision follows" in sentence(report)


def test_what_begins_later_is_complete_from_there_on(keys, world):  # noqa: F811
    for path in sorted(world.places["archive"].rglob("*-*.*"))[:4]:
        path.unlink()
    first = int(sorted(world.places["archive"].rglob("*.seal.json"))[0].name[:20])
    said = sentence(clean(checked(keys, world, since=first)))
    assert f"complete from number {first:,} on and unaltered" in said and "the beginning is not here" in said


@pytest.mark.parametrize("named", [[OTHER_STORE], [STORE, OTHER_STORE]])
def test_a_store_that_is_meant_vouches_for_the_one_it_continues(keys, tmp_path, named):  # noqa: F811
    for of in two_stores():
        Archive(tmp_path).write(of)
    report = clean(verified(keys, Source("archive", str(tmp_path)), stores=named))
    assert f"stores {STORE}, {OTHER_STORE}" in sentence(report)


def test_a_store_that_is_not_here_is_no_proof(keys, world):  # noqa: F811
    said = "\n".join(lines(checked(keys, world, stores=[STORE, OTHER_STORE])))
    assert f"there is nothing of store {OTHER_STORE}, which you named" in said


def test_what_somebody_says_of_an_honest_store_does_not_count_against_it(keys, world):  # noqa: F811
    false_continues(world, "archive")
    report = checked(keys, world, stores=[STORE])
    honest, other = report.streams
    assert (
        honest.store == STORE
        and not honest.findings.kept
        and other.findings.count("wrong") == 1
        and report.findings.count("wrong") == 0
    )


def test_an_impostor_that_is_read_first_changes_nothing_of_the_honest_store(keys, tmp_path):  # noqa: F811
    first, second = two_stores()
    forger = Writer("00000000-3b5a-4e0e-9d0c-7c1f2e3d4b5a", sources.BEGIN + timedelta(days=1), len(first.documents) + 1)
    impostor = History([forger.issue("APP-200001-x")], [1], forger.store, continues=second.continues)
    for of in (first, second, impostor):
        Archive(tmp_path / "archive").write(of)
    report = verified(keys, Source("archive", str(tmp_path / "archive")), stores=[OTHER_STORE])
    wrong = {stream.store for stream in report.streams if stream.findings.count("wrong")}
    assert wrong == {forger.store}, "\n".join(lines(report))


@pytest.mark.parametrize(
    ("relation", "points"), [("admin.dead_letter", 1), ("admin.action_policy", 0), ("public.account", 0)]
)
def test_a_table_of_the_extension_that_was_written_by_hand_is_a_point_to_look_at(keys, world, relation, points):  # noqa: F811
    """A row made a dead letter by hand is never sent: the event of it is all that a sink gets."""
    made = Writer(begin=sources.BEGIN + timedelta(days=1), first=5000).event(
        "row.inserted",
        None,
        {"op": "INSERT", "changed": {}, "row": {"sink": "kafka", "audit_id": "12"}, "relation": relation},
        "eve",
    )
    delivered(world, "archive", [made])
    report = checked(keys, world)
    assert report.status == 0 and report.count(ATTENTION) == points, "\n".join(lines(report))
    assert (
        f"eve at {sources.engine.rfc3339(sources.BEGIN + timedelta(days=1))[:10]}" in "\n".join(lines(report))
    ) == bool(points)


@pytest.mark.parametrize(
    ("asked", "subject", "is_wrong"),
    [
        ("nonsense", "nonsense", False),
        ("nonsense", None, True),
        ("nonsense", "other", True),
        ("", None, False),
        ("", "", True),
        (" ", None, False),
        ("\u00a0", "\u00a0", True),
        ("a\nb", None, False),
        ("a\nb", "a\nb", True),
        ("x" * 65, None, False),
    ],
)
def test_the_subject_of_a_check_is_what_was_asked_where_that_can_be_one(keys, world, asked, subject, is_wrong):  # noqa: F811
    def writer() -> Writer:
        return Writer(begin=sources.BEGIN + timedelta(days=1), first=5000)

    made = writer().event("sensitive.check.2b", subject, json.loads(writer().check(asked))["data"], "FF")
    delivered(world, "archive", [made])
    report = checked(keys, world)
    assert ("but the document's subject is" in "\n".join(lines(report))) == is_wrong and (
        report.status == 1
    ) == is_wrong, "\n".join(lines(report))


def test_the_tables_of_the_verifier_are_those_that_the_extension_watches():
    install = pathlib.Path(__file__).resolve().parents[3] / "sql" / "install"
    listed = re.search(
        r"foreach relation in array array\[(.*?)\]", (install / "admin_ext/63_bookkeeping.sql").read_text(), re.DOTALL
    )[1]
    single = re.findall(
        r"create trigger bookkeeping\s.*?on (\S+)", (install / "admin_ext/60_access.sql").read_text(), re.DOTALL
    )
    moving = re.search(
        r"attach_bookkeeping\(t\) from unnest\('\{(.*?)\}'", (install / "cutover/65_tables.sql").read_text()
    )[1]
    assert contents.BOOKS == {*re.findall(r"'([^']*)'", listed), *single, *moving.split(", ")}


# -- proofs -------------------------------------------------------------------------------------------------------------


def proof(world: World, *what: object, options: tuple[object, ...] = ()) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        made = [
            "prove",
            *what,
            "--archive",
            world.places["archive"],
            "--key",
            world.key,
            "--output",
            world.directory / "proof.json",
        ]
        assert cli.main([str(argument) for argument in made]) == 0, out.getvalue()
        status = cli.main(
            [str(argument) for argument in ("--proof", world.directory / "proof.json", "--key", world.key, *options)]
        )
    return status, out.getvalue()


def test_a_back_dated_decision_is_seen_in_a_proof(world):
    back_dated_decision(world, "archive")
    status, said = proof(world, APPROVAL)
    assert status == 1 and "says that it was made at" in said


def test_a_proof_is_of_the_store_that_was_meant(world):
    status, said = proof(world, "APP-100002-x1", options=("--store", STORE.upper()))
    assert status == 0 and f"are genuine, of store {STORE}" in said
    status, said = proof(world, "APP-100002-x1", options=("--store", OTHER_STORE))
    assert status == 1 and "is none that you named" in said


def test_an_event_of_others_is_shown_as_one_in_a_proof(world):
    in_form(lambda text: compact({**json.loads(text), "source": "/ff/eu-1"}).encode())(world, "archive")
    status, said = proof(world, APPROVAL)
    assert status == 0 and "(an event of /ff/eu-1)" in said and "1 point above needs an explanation" in said


def test_a_decision_whose_approval_began_elsewhere_does_not_count_in_a_proof(world):
    delivered(world, "archive", [Writer(begin=sources.BEGIN + timedelta(days=1), first=5000).check("APP-100002-x1")])
    report = run(Wish([Source("archive", str(world.places["archive"]))], contents=False))
    number = report.streams[0].last
    status, said = proof(world, "--number", number)
    assert status == 0 and f"document {number} of store {STORE} is genuine" in said
