"""Honest streams raise no alarm, whatever their shape."""

import json
import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import evidence_sources as sources
import pytest
from admin_client.evidence import chain, merkle
from admin_client.verify import walk
from admin_client.verify.keys import Keys
from admin_client.verify.report import ATTENTION, NOTE, WRONG, lines, sentence
from admin_client.verify.run import Source, Wish, run
from evidence_sources import KEY, OTHER_STORE, Archive, History, Writer, history, messages, write_dump, write_ndjson
from hypothesis import given, settings, strategies as st


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "key"
    path.write_bytes(KEY.public_key().public_bytes_raw())
    return Keys([str(path)])


def verified(keys, *found: Source, **more):
    report = run(Wish([*found], keys, **more))
    return report


def clean(report):
    assert report.status == 0 and report.count(WRONG) == 0, "\n".join(lines(report))
    return report


@settings(max_examples=40, deadline=None)
@given(
    approvals=st.integers(0, 12),
    seed=st.integers(0, 10_000),
    most=st.integers(1, 40),
    per_object=st.integers(1, 7),
    unfinished=st.integers(0, 2),
    partitions=st.integers(1, 5),
    frame=st.sampled_from([None, 100, 5000]),
)
def test_an_honest_history_raises_no_alarm(keys, approvals, seed, most, per_object, unfinished, partitions, frame):
    of = history(approvals, seed)
    of = replace(of, batches=sources.sizes(len(of.documents), random.Random(seed), most))
    with TemporaryDirectory() as directory:
        place = Path(directory)
        Archive(place / "archive", frame=frame).write(of, per_object)
        files = of.to("ndjson")
        write_ndjson(place / "ndjson", files, per_object, min(unfinished, len(of.batches) - 1))
        write_dump(place / "topic", messages(of, partitions))
        archive, ndjson, topic = (
            Source("archive", f"{place}/archive"),
            Source("ndjson", f"{place}/ndjson"),
            Source("topic", f"{place}/topic"),
        )
        for pair in ((archive,), (ndjson,), (topic,), (archive, topic), (ndjson, archive), (topic, ndjson)):
            report = clean(verified(keys, *pair))
            assert all(stream.documents == len(of.documents) for stream in report.streams)
            assert report.count(ATTENTION) == 0
            if pair == (ndjson,):
                newest = sum(files.batches[len(files.batches) - min(unfinished, len(files.batches) - 1) :])
                assert (f"Of the newest {newest:,} document" in sentence(report)) == bool(newest)
            assert len(report.compared) == len(pair) - 1


def two_stores():
    """resync_sink made a new store, which sends the last documents again and goes on."""
    chance, writer = random.Random(5), Writer()
    old = [document for number in range(4) for document in sources.life(writer, f"APP-{100001 + number}-x", chance)]
    first = History(old, sources.sizes(len(old), chance))
    again = [document.replace(sources.STORE.encode(), OTHER_STORE.encode()) for document in old[-6:]]
    writer.store = OTHER_STORE
    new = [document for number in range(4) for document in sources.life(writer, f"APP-{200001 + number}-x", chance)] + [
        writer.check("APP-100001-x")
    ]
    continues = {"store": sources.STORE, "last": len(old), "chain": first.chains()[-1]}
    return first, History(
        [*again, *new], sources.sizes(len(again) + len(new), chance), OTHER_STORE, continues=continues
    )


def place_two(directory, first, second):
    Archive(directory / "archive").write(first)
    Archive(directory / "archive").write(second)
    write_dump(directory / "topic", messages(first, 2) + messages(second, 2, begin=1_770_000_000_000))
    files = [first.to("ndjson"), second.to("ndjson")]
    files[1] = replace(files[1], continues={**second.continues, "chain": files[0].chains()[-1]})
    write_ndjson(directory / "ndjson", files[0])
    write_ndjson(directory / "ndjson", files[1], database="db")
    return [
        Source("archive", f"{directory}/archive"),
        Source("topic", f"{directory}/topic"),
        Source("ndjson", f"{directory}/ndjson"),
    ]


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["archive", "topic", "ndjson"])
def test_a_store_that_continues_another_is_followed(keys, kind, tmp_path):
    first, second = two_stores()
    report = clean(verified(keys, place_two(tmp_path, first, second)[kind]))
    assert [stream.store for stream in report.streams] == [sources.STORE, OTHER_STORE]
    assert report.streams[1].decisions > 0 and report.count(NOTE) == 0


def sent_again(event, fresh):
    """resync_sink has sent the last documents again, without a new store.  It counts by a position that is recorded up to a second late."""
    of = history(4)
    writer = Writer(begin=sources.BEGIN + timedelta(hours=1), first=9000)
    more = (
        [writer.event("sink.resynced", None, {"sink": "kafka", "from": event, "sent_again": 9}, "postgres")]
        if event
        else []
    )
    more += [writer.check("APP-999999-none") for _ in range(fresh)]
    return History([*of.documents, *of.documents[-10:], *more], [*of.batches, 10, *([len(more)] if more else [])])


@pytest.mark.parametrize(
    "event, fresh, status, said",
    [
        (1, 2000, 0, "resync_sink has sent them again"),
        (None, 0, 0, "is not here yet"),
        (None, 2000, 1, "no resync_sink has sent 10 of them again"),
        (9000, 2000, 1, "no resync_sink has sent 10 of them again"),
    ],
)
def test_documents_that_come_twice_have_to_be_explained(keys, event, fresh, status, said, tmp_path):
    Archive(tmp_path / "archive").write(sent_again(event, fresh))
    report = verified(keys, Source("archive", f"{tmp_path}/archive"))
    assert report.status == status and said in "\n".join(lines(report))
    assert "approval:" not in "\n".join(lines(report))


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["archive", "topic", "ndjson"])
def test_a_store_that_continues_another_history_is_seen(keys, kind, tmp_path):
    first, second = two_stores()
    second.continues = {**second.continues, "chain": "00" * 32}
    source = place_two(tmp_path, first, second)[kind]
    if source.kind == "ndjson":
        path = tmp_path / "ndjson" / "db.seals.ndjson"
        path.write_text(
            path.read_text().replace(first.to("ndjson").chains()[-1] + '"},"batches"', "00" * 32 + '"},"batches"')
        )
    assert "the history was rewritten" in sentence(verified(keys, source))


def test_stores_that_write_at_the_same_time_are_told_apart(keys, tmp_path):
    """Events of others do not say of which store they are: number, time and in the end the chain do."""
    chance = random.Random(7)
    both = []
    for store in (sources.STORE, OTHER_STORE):
        writer = Writer(store)
        documents = [writer.foreign(f"/ff/{store[:4]}", f"e{number}", {"n": number}) for number in range(10)]
        both.append(messages(History(documents, [2] * 5, store), 2))
    mixed = [record for pair in zip(*both) for record in chance.sample(pair, 2)]
    write_dump(tmp_path / "topic", mixed)
    assert [stream.documents for stream in clean(verified(keys, Source("topic", f"{tmp_path}/topic"))).streams] == [
        10,
        10,
    ]


def test_a_registry_prefix_tombstones_and_foreign_records_do_not_matter(keys, tmp_path):
    records = [replace(record, value=b"\0\0\0\0\7" + record.value) for record in messages(history())]
    stranger = sources.Message(0, 0, b"k", [], b"{}")
    write_dump(tmp_path / "topic", [stranger, *records, replace(stranger, value=None)])
    clean(verified(keys, Source("topic", f"{tmp_path}/topic")))


def test_a_topic_without_its_oldest_records_is_verified_from_a_number(keys, tmp_path):
    of = history()
    removed = sum(of.batches[:3])
    write_dump(tmp_path / "topic", messages(of)[removed:])
    source = Source("topic", f"{tmp_path}/topic")
    assert f"numbers 1 to {removed:,} are missing" in sentence(verified(keys, source))
    clean(verified(keys, source, since=removed + 1))
    Archive(tmp_path / "archive").write(of)
    report = verified(keys, source, Source("archive", f"{tmp_path}/archive"), since=removed + 1)
    assert "are older than anything in the topic" in "\n".join(lines(report))


def test_an_archive_that_is_a_little_behind_is_no_alarm(keys, tmp_path):
    of = history()
    Archive(tmp_path / "archive").write(
        replace(of, documents=of.documents[: sum(of.batches[:-3])], batches=of.batches[:-3])
    )
    write_dump(tmp_path / "topic", messages(of))
    report = clean(verified(keys, Source("archive", f"{tmp_path}/archive"), Source("topic", f"{tmp_path}/topic")))
    assert "have not arrived in the archive yet" in "\n".join(lines(report))
    assert "agree on" in sentence(report)


def test_an_object_whose_seal_is_not_there_yet_is_no_alarm(keys, tmp_path):
    Archive(tmp_path / "archive").write(history())[-1].unlink()
    assert "is the newest and has no seal" in "\n".join(
        lines(clean(verified(keys, Source("archive", f"{tmp_path}/archive"))))
    )


def test_a_decision_that_did_not_wait_for_a_withdrawal_is_no_alarm(keys, tmp_path):
    writer = Writer()
    documents = [writer.issue("APP-100001-x", ("finance",)), *writer.sign("APP-100001-x", "finance", "ann")]
    decision = writer.check("APP-100001-x")
    writer.clock -= timedelta(seconds=3)
    documents += [writer.withdraw("APP-100001-x"), decision]
    Archive(tmp_path / "archive").write(History(documents, [len(documents)]))
    clean(verified(keys, Source("archive", f"{tmp_path}/archive")))


def test_a_decision_from_a_state_that_ended_long_ago_is_wrong(keys, tmp_path):
    writer = Writer()
    documents = [writer.issue("APP-100001-x", ("finance",)), *writer.sign("APP-100001-x", "finance", "ann")]
    documents.append(writer.withdraw("APP-100001-x"))
    writer.clock += timedelta(hours=2)
    writer.rows["APP-100001-x"].update(state="signed_full", closed_at=None)
    documents.append(writer.check("APP-100001-x"))
    Archive(tmp_path / "archive").write(History(documents, [len(documents)]))
    assert "follows from a state that had ended" in sentence(verified(keys, Source("archive", f"{tmp_path}/archive")))


@pytest.mark.parametrize(
    "forgery, said",
    [
        (lambda w: w.sign("APP-100001-x", "finance", "boss"), "boss asked for it and signed it"),
        (lambda w: w.sign("APP-100001-x", "stranger", "ann"), "a role that is not required"),
        (lambda w: [w.change("APP-100001-x", "approval.signed_full", state="signed_full")], "0 of 2 signatures"),
        (lambda w: [w.issue("APP-100001-x")], "it was issued a second time"),
        (lambda w: w.sign("APP-100001-x", "finance", "ann") + w.sign("APP-100001-x", "legal", "ann"), "signed twice"),
        (
            lambda w: (
                w.sign("APP-100001-x", "finance", "ann")
                + [w.change("APP-100001-x", "approval.altered", resource="account 8")]
            ),
            "changed after it had been signed",
        ),
        (
            lambda w: [
                w.withdraw("APP-100001-x"),
                w.change("APP-100001-x", "approval.signed_partial", state="signed_partial"),
            ],
            "leads from withdrawn to signed_partial",
        ),
        (
            lambda w: [
                w.event(
                    "approval.altered",
                    "APP-100001-x",
                    {"op": "DELETE", "changed": {}, "row": dict(w.rows["APP-100001-x"])},
                )
            ],
            "never deleted",
        ),
    ],
    ids=["requester", "role", "unsigned", "twice", "person", "altered", "reopened", "deleted"],
)
def test_a_forged_step_of_an_approval_is_wrong(keys, forgery, said, tmp_path):
    writer = Writer()
    documents = [writer.issue("APP-100001-x"), *forgery(writer)]
    Archive(tmp_path / "archive").write(History(documents, [len(documents)]))
    report = verified(keys, Source("archive", f"{tmp_path}/archive"))
    assert said in "\n".join(lines(report)) and report.status == 1


def test_acts_on_the_trail_are_named(keys, tmp_path):
    of = history(2)
    writer = Writer(begin=sources.BEGIN + timedelta(hours=1), first=9000)
    acts = [
        writer.event(kind, None, data, "postgres")
        for kind, data in (
            ("guard.changed", {"command": "ALTER TABLE"}),
            ("sink.resynced", {"sink": "ndjson", "from": 1}),
        )
    ]
    Archive(tmp_path / "archive").write(replace(of, documents=[*of.documents, *acts], batches=[*of.batches, 2]))
    report = verified(keys, Source("archive", f"{tmp_path}/archive"))
    assert (
        report.status == 0
        and report.count(ATTENTION) == 2
        and "2 points above need an explanation by a person" in sentence(report)
    )


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(
        st.binary(min_size=1, max_size=30).map(lambda text: text.replace(b"\n", b"\r")), min_size=1, max_size=3000
    ),
    seed=st.integers(0, 99),
    piece=st.integers(1, 5000),
)
def test_the_quick_walk_computes_what_the_reference_does(documents, seed, piece):
    of = History(documents, sources.sizes(len(documents), random.Random(seed), 50))
    text = b"".join(document + b"\n" for document in documents)
    tree, of_chain = walk.Tree(), walk.Chain(chain.start(of.store, of.sink), 1, of.batches)
    count = walk.walk((text[at : at + piece] for at in range(0, len(text), piece)), 1, of_chain, tree, [])
    assert count == len(documents) and of_chain.complete
    assert of_chain.value.hex() == of.chains()[-1]
    assert tree.root() == merkle.root([merkle.leaf_hash(document) for document in documents])


def test_times_of_the_generator_are_those_of_the_documents():
    of = history(1)
    assert datetime.fromisoformat(json.loads(of.documents[0])["recordedtime"]) == sources.BEGIN


@pytest.mark.parametrize("waiting, status", [(2, 0), (3, 1)])
def test_the_seal_of_the_file_before_the_newest_may_be_on_its_way(keys, waiting, status, tmp_path):
    write_ndjson(tmp_path / "files", history(sink="ndjson"), 1)
    path = tmp_path / "files" / "db.seals.ndjson"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-waiting]))
    assert verified(keys, Source("ndjson", f"{tmp_path}/files")).status == status


def test_the_last_file_of_a_store_that_was_replaced_has_no_seal(keys, tmp_path):
    first, second = two_stores()
    second.documents = second.documents[6:]  # files are named after audit ids, and these go on
    second.batches = [len(second.documents)]
    place_two(tmp_path, first, second)
    path = tmp_path / "ndjson" / "db.seals.ndjson"
    sealed = path.read_bytes().splitlines(keepends=True)
    at = next(at for at, line in enumerate(sealed) if OTHER_STORE.encode() in line.split(b'"sink"')[0])
    lost = json.loads(sealed[at - 1])
    opened = json.loads(sealed[at])
    opened["continues"] = {"store": sources.STORE, "last": lost["first"] - 1, "chain": lost["chain_before"]}
    path.write_bytes(b"".join([*sealed[: at - 1], json.dumps(opened).encode() + b"\n", *sealed[at + 1 :]]))
    report = verified(keys, Source("ndjson", f"{tmp_path}/ndjson"), contents=False)
    assert report.status == 0 and "is the last one of a store that was replaced" in "\n".join(lines(report)), "\n".join(
        lines(report)
    )
