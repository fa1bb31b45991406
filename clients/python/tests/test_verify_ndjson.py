"""Files of the NDJSON sink whose proof is weaker than usual: their links were removed, or their store was replaced."""

import json
from dataclasses import replace

import evidence_sources as sources
import pytest
from admin_client.verify import ndjson
from admin_client.verify.report import lines
from admin_client.verify.run import Source
from evidence_sources import OTHER_STORE, STORE, Archive, history, write_ndjson
from test_verify_honest import keys, two_stores, verified  # noqa: F401  (a fixture)


def looked_at(keys, directory):  # noqa: F811
    report = verified(keys, Source("ndjson", str(directory)))
    return report, "\n".join(lines(report))


def change_seals(directory, change):
    path = directory / "db.seals.ndjson"
    path.write_bytes(
        b"".join(sources.compact(change(json.loads(line))).encode() + b"\n" for line in path.read_bytes().splitlines())
    )


def test_a_file_whose_links_were_removed_is_proved_by_its_bytes(keys, tmp_path):  # noqa: F811
    written = write_ndjson(tmp_path, history(sink="ndjson"), 2)
    change_seals(tmp_path, lambda seal: {**seal, "batches": None})
    report, said = looked_at(keys, tmp_path)
    assert report.status == 0 and "are proved by its SHA-256 and by the chain of the files beside it only" in said, said
    data = written[1].read_bytes()
    written[1].write_bytes(data.replace(b"boss", b"bass", 1))
    report, said = looked_at(keys, tmp_path)
    assert report.status == 1 and "are not the bytes that were sealed" in said, said


def test_a_file_whose_links_were_removed_still_continues_the_chain(keys, tmp_path):  # noqa: F811
    write_ndjson(tmp_path, history(sink="ndjson"), 2)
    names = iter(range(100))
    change_seals(
        tmp_path, lambda seal: {**seal, "batches": None, "chain_after": "00" * 32} if next(names) == 1 else seal
    )
    report, said = looked_at(keys, tmp_path)
    assert report.status == 1 and "does not continue the chain" in said, said


@pytest.fixture
def replaced(tmp_path):
    """A store whose last file has no seal, and the store that goes on with its trail; what the marker of the first says is for the test."""
    first, second = two_stores()
    second = replace(second, documents=second.documents[6:], batches=[len(second.documents) - 6])
    files = first.to("ndjson")
    write_ndjson(tmp_path, files, unfinished=1)
    write_ndjson(
        tmp_path,
        replace(
            second.to("ndjson"), continues={"store": STORE, "last": len(files.documents), "chain": files.chains()[-1]}
        ),
    )
    return tmp_path, len(files.documents), files.chains()[-1]


def mark(directory, number, chain):
    (directory / f"{STORE}.position").write_text(f"7 12 {OTHER_STORE} 99 4096 {number} {chain} db-1.ndjson\n")


def test_the_last_file_of_a_replaced_store_is_replayed(keys, replaced):  # noqa: F811
    directory, number, chain = replaced
    mark(directory, number, chain)
    report, said = looked_at(keys, directory)
    assert (
        report.status == 0
        and "is the last one of a store that was replaced: its " in said
        and report.streams[0].last == number
    ), said
    assert "marker" not in said and "never issued" not in said


@pytest.mark.parametrize(
    "more, status, says",
    [(-1, 1, "delivered no more than"), (1, 0, "a crash within the last batch, or the end was cut off")],
)
def test_the_marker_of_a_replaced_store_says_how_many_there_were(keys, replaced, more, status, says):  # noqa: F811
    directory, number, chain = replaced
    mark(directory, number + more, chain)
    report, said = looked_at(keys, directory)
    assert report.status == status and says in said, said


def test_a_marker_that_cannot_be_read_is_wrong(keys, replaced):  # noqa: F811
    directory, *_ = replaced
    (directory / f"{STORE}.position").write_bytes(b"\xff nothing")
    report, said = looked_at(keys, directory)
    assert report.status == 1 and "cannot be read" in said, said


def test_a_store_that_was_just_made_has_no_seal_yet(keys, replaced):  # noqa: F811
    directory, number, _ = replaced
    path = directory / "db.seals.ndjson"
    path.write_bytes(
        b"".join(line for line in path.read_bytes().splitlines(keepends=True) if json.loads(line)["store"] == STORE)
    )
    report, said = looked_at(keys, directory)
    assert (
        report.status == 0
        and f"store {OTHER_STORE} has no seal yet: has resync_sink just made it?" in said
        and report.streams[0].last == number
    ), said


def test_a_line_that_is_written_meanwhile_is_no_alarm(keys, tmp_path, monkeypatch):  # noqa: F811
    """The worker adds the line of a file between two looks at the list."""
    write_ndjson(tmp_path, history(sink="ndjson"), 2, unfinished=1)
    path, expect = tmp_path / "db.seals.ndjson", ndjson._expect
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))

    def expecting(*arguments):
        found = expect(*arguments)
        path.write_bytes(whole)
        return found

    monkeypatch.setattr(ndjson, "_expect", expecting)
    report, said = looked_at(keys, tmp_path)
    assert report.status == 0, said


def test_documents_that_the_marker_has_and_the_newest_file_has_not_are_a_point_to_look_at(keys, tmp_path):  # noqa: F811
    of = history(sink="ndjson")
    open_file, count = write_ndjson(tmp_path, of, 2, unfinished=2)[-1], len(of.documents)
    (tmp_path / f"{STORE}.position").write_text(f"7 1 nonce 99 0 {count} {of.chains()[-1]} {open_file.name}\n")
    report, said = looked_at(keys, tmp_path)
    assert report.status == 0 and "the marker" not in said, said
    open_file.write_bytes(b"".join(open_file.read_bytes().splitlines(keepends=True)[:-1]))
    report, said = looked_at(keys, tmp_path)
    assert (
        report.status == 0
        and f"documents up to {count} were about to be written, and the files end at {count - 1}: a crash within the last batch, or the end was cut off"
        in said
    ), said


@pytest.mark.parametrize("last", [True, False])
def test_lines_behind_the_end_of_the_newest_file_are_none_of_the_store(keys, tmp_path, last):  # noqa: F811
    """Whether its store has a file that is finished or not."""
    of = history(sink="ndjson")
    open_file, count = write_ndjson(tmp_path, of, 2, unfinished=2)[-1], len(of.documents)
    if not last:
        count = 6
        second = replace(
            history(sink="ndjson", store=OTHER_STORE, seed=2),
            continues={"store": STORE, "last": len(of.documents), "chain": of.chains()[-1]},
        )
        open_file = tmp_path / "db-100000.ndjson"
        open_file.write_bytes(b"".join(document + b"\n" for document in second.documents[:count]))
    store = STORE if last else OTHER_STORE
    (tmp_path / f"{store}.position").write_text(f"7 1 nonce 99 0 {count} {'0' * 64} {open_file.name}\n")
    assert "by its marker" not in looked_at(keys, tmp_path)[1]
    with open_file.open("ab") as file:
        file.write(open_file.read_bytes().splitlines(keepends=True)[-1])
    report, said = looked_at(keys, tmp_path)
    assert (
        report.status == 0
        and f"attention marker: the files have documents up to {count + 1}, but store {store} delivered no more than {count} by its marker: lines were appended"
        in said
    ), said


@pytest.mark.parametrize("is_replaced", [False, True])
def test_what_a_sink_writes_meanwhile_is_no_alarm(keys, tmp_path, monkeypatch, request, is_replaced):  # noqa: F811
    """The verifier has read the marker, then the sink goes on; perhaps the store is replaced then."""
    if is_replaced:
        tmp_path, number, chain = request.getfixturevalue("replaced")
    else:
        of = history(sink="ndjson")
        write_ndjson(tmp_path, of, 2, unfinished=2)
        number, chain = len(of.documents), of.chains()[-1]
    mark(tmp_path, number - 1, "0" * 64)
    unfinished = ndjson.NdjsonStore.unfinished

    def writing(self, *arguments, **more):
        mark(tmp_path, number, chain)
        unfinished(self, *arguments, **more)

    monkeypatch.setattr(ndjson.NdjsonStore, "unfinished", writing)
    report, said = looked_at(keys, tmp_path)
    assert report.status == 0 and "by its marker" not in said, said


@pytest.mark.parametrize(
    ("batches_per_file", "status", "says"),
    [
        (1000, 0, 'of database "other" has no seal yet, so nothing proves the documents'),
        (2, 1, 'files of database "other": other.seals.ndjson was removed'),
    ],
)
def test_a_database_without_a_list_of_seals_is_named(keys, tmp_path, batches_per_file, status, says):  # noqa: F811
    write_ndjson(tmp_path, history(sink="ndjson"))
    write_ndjson(tmp_path, history(sink="ndjson", store=OTHER_STORE), batches_per_file, database="other")
    (tmp_path / "other.seals.ndjson").unlink()
    report, said = looked_at(keys, tmp_path)
    assert report.status == status and says in said, said


# -- no file is finished yet ------------------------------------------------------------------------------------------


def begun(directory, of, batches=1, database="db"):
    """One file, which is being written, and its marker."""
    of = of.to("ndjson")
    written = write_ndjson(directory, replace(of, batches=of.batches[:batches]), unfinished=batches, database=database)
    (directory / f"{database}.seals.ndjson").unlink()
    count = sum(of.batches[:batches])
    (directory / f"{of.store}.position").write_text(
        f"7 1 nonce 99 0 {count} {of.chains()[batches]} {written[0].name}\n"
    )
    return count


def with_archive(keys, tmp_path):  # noqa: F811
    report = verified(keys, Source("archive", f"{tmp_path}/archive"), Source("ndjson", f"{tmp_path}/files"))
    return report, "\n".join(lines(report))


def test_files_of_a_database_that_has_just_begun_are_compared(keys, tmp_path):  # noqa: F811
    of = history()
    Archive(tmp_path / "archive").write(of)
    count = begun(tmp_path / "files", of, len(of.batches))
    report, said = with_archive(keys, tmp_path)
    assert report.status == 0 and f"The archive and the NDJSON files agree on {count} documents" in said, said
    assert "has no seal yet, so nothing proves the documents, nor that there were none before them" in said, said


def test_a_file_without_any_seal_that_was_forged_differs_from_the_archive(keys, tmp_path):  # noqa: F811
    of = history()
    Archive(tmp_path / "archive").write(of)
    begun(tmp_path / "files", of, len(of.batches))
    path = next((tmp_path / "files").glob("db-*.ndjson"))
    path.write_bytes(path.read_bytes().replace(b"boss", b"bass", 1))
    report, said = with_archive(keys, tmp_path)
    assert report.status == 1 and "is another one in the NDJSON files than in the archive" in said, said


def test_files_of_a_copy_of_the_database_that_has_just_begun_are_not_compared(keys, tmp_path):  # noqa: F811
    """The copy counts on from where it was made, so its audit_ids are those of other documents."""
    Archive(tmp_path / "archive").write(history())
    writer = sources.Writer(OTHER_STORE, first=5)
    writer.issue("APP-100001-x1")
    documents = [*writer.sign("APP-100001-x1", "finance", "ann"), writer.check("APP-100001-x1")]
    count = begun(tmp_path / "files", sources.History(documents, [len(documents)], OTHER_STORE))
    report, said = with_archive(keys, tmp_path)
    assert (
        report.status == 0
        and f"{count} documents of store {OTHER_STORE} in the NDJSON files could not be compared, because the archive has nothing of this store"
        in said
    ), said
    assert "agree" not in said and "PROVED" in said, said


def test_a_database_that_was_given_a_new_store_before_any_file_was_finished(keys, tmp_path):  # noqa: F811
    first, second = two_stores()
    begun(tmp_path, replace(first, batches=[len(first.documents)]))
    second = replace(second, documents=second.documents[6:], batches=[len(second.documents) - 6])
    begun(tmp_path, second)
    report, said = looked_at(keys, tmp_path)
    assert (
        report.status == 2
        and [stream.store for stream in report.streams] == [STORE, OTHER_STORE]
        and "wrong" not in said
    ), said


def test_files_of_which_none_is_finished_prove_nothing_alone(keys, tmp_path):  # noqa: F811
    begun(tmp_path, history())
    report, said = looked_at(keys, tmp_path)
    assert report.status == 2 and "NOT PROVED YET: no file here is finished" in said and STORE in said, said


def test_a_folder_without_files_of_the_sink_cannot_be_looked_at(keys, tmp_path):  # noqa: F811
    report, said = looked_at(keys, tmp_path)
    assert report.status == 2 and "has no files of the NDJSON sink" in said, said
