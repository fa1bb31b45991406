"""Receipts that were deleted from the database, or altered there: the trail has their events."""

import json
from pathlib import Path

import pytest
from evidence_sources import KEY, OTHER_STORE, Archive, History, Writer
from test_verify_database import delivered, server, sql, verify  # noqa: F401  (fixtures)
from test_verify_receipts import seals_of
from verify_database_attacks import CASES, RECEIPT, delete_middle, unguarded

NEVER = "'2033-11-30T00:00:00Z'"


def record(dsn, store, last, chain, seal):
    """What admin.record_receipt() does for a sink that this server does not have."""
    sql(
        dsn,
        unguarded(
            f"insert into admin.archive_receipt (store_id, sink, last_number, chain, seal_sha256, retain_until, location, status) values "
            f"('{store}', 'kafka', {last}, '\\x{chain}', '\\x{seal}', {NEVER}, 'there', 'ok')"
        ),
        f"insert into admin_internal.archive_base (store_id, sink, last_number, retain_until) values ('{store}', 'kafka', {last}, {NEVER})",
        "set timezone = 'UTC'; alter table admin.audit disable trigger audit_append_only; "
        "insert into admin.audit (event_type, payload) select 'archive.receipt', json_build_object('store', store_id, 'sink', sink, 'last_number', last_number::text, 'status', status, "
        "'chain', encode(chain, 'hex'), 'expected', null, 'seal_sha256', encode(seal_sha256, 'hex'), 'retain_until', retain_until, 'location', location) "
        f"from admin.archive_receipt where store_id = '{store}' and sink = 'kafka' and last_number = {last}; "
        "alter table admin.audit enable always trigger audit_append_only",
    )


@pytest.fixture(scope="module")
def receipted(server, tmp_path_factory):  # noqa: F811
    """An archive of four objects with receipts for the first three: DSN, and what the verifier is given."""
    dsn, documents, files = server
    place, ends = tmp_path_factory.mktemp("receipted"), []
    store = next(
        event["source"].removeprefix("/admin_ext/")
        for event in map(json.loads, documents)
        if event["source"].startswith("/admin_ext/")
    )
    arguments = ["--archive", str(place / "archive"), "--key", str(place / "key")]
    (place / "key").write_bytes(KEY.public_key().public_bytes_raw())
    for _ in range(3):
        ends.append(len(documents))
        Archive(place / "archive").write(
            History(documents, [end - begin for begin, end in zip([0, *ends], ends)], store), 1
        )
        record(dsn, store, *seals_of(arguments)[-1][:3])
        documents = delivered(dsn, Path(files))
    ends.append(len(documents))
    Archive(place / "archive").write(
        History(documents, [end - begin for begin, end in zip([0, *ends], ends)], store), 1
    )
    return dsn, arguments


def test_receipts_that_are_all_there_raise_no_alarm(receipted):
    dsn, arguments = receipted
    for more in ([], ["--seals-only"]):
        status, said = verify(*arguments, "--dsn", dsn, *more)
        assert status == 0 and "3 receipts of the database are of its seals" in said and "receipt:" not in said, said


@pytest.fixture
def attacked(receipted):
    """What was deleted or altered is put back."""
    dsn, arguments = receipted
    sql(
        dsn,
        "create table kept as select * from admin.archive_receipt",
        "create table kept_base as select * from admin_internal.archive_base",
    )
    yield dsn, arguments
    sql(
        dsn,
        unguarded("delete from admin.archive_receipt; insert into admin.archive_receipt select * from kept"),
        "delete from admin_internal.archive_base",
        "insert into admin_internal.archive_base select * from kept_base",
        "drop table kept, kept_base",
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.attack.__name__)
@pytest.mark.parametrize("more", [[], ["--seals-only"]], ids=["contents", "seals"])
def test_an_attack_on_receipts_is_seen(attacked, case, more):
    dsn, arguments = attacked
    case.attack(dsn, seals_of(arguments))
    status, said = verify(*arguments, "--dsn", dsn, *more)
    assert any(line.split()[0] == case.level and case.says in line for line in said.splitlines()), said
    assert status == (1 if case.level == "wrong" else 0), said


def test_a_seal_without_a_receipt_between_others_is_a_point_to_look_at(attacked):
    dsn, arguments = attacked
    seals = seals_of(arguments)
    delete_middle(dsn, seals)
    _, said = verify(*arguments, "--dsn", dsn)
    assert (
        f"attention receipt: the database has receipts of earlier and of later seals, but none for 1 seal between them, the first up to number {seals[1][0]}"
        in said
    ), said


def test_a_receipt_whose_event_is_on_its_way_is_missed_too(attacked):
    """The document of the third one's event lies in the last object, which is not here yet."""
    dsn, arguments = attacked
    *_, path = seals_of(arguments)[-1]
    kept = {file: file.read_bytes() for file in path.parent.glob(path.name.removesuffix(".seal.json") + ".*")}
    for file in kept:
        file.unlink()
    try:
        sql(dsn, unguarded(f"delete from {RECEIPT} where last_number = (select max(last_number) from {RECEIPT})"))
        status, said = verify(*arguments, "--dsn", dsn)
        assert status == 1 and "no longer exists" in said, said
    finally:
        for file, data in kept.items():
            file.write_bytes(data)


def test_a_receipt_of_another_database_is_not_missed(receipted, tmp_path):
    """The documents of a store that is not this database's record receipts of its own."""
    dsn, _ = receipted
    data = {
        "store": OTHER_STORE,
        "sink": "kafka",
        "last_number": "5",
        "status": "ok",
        "chain": "ab" * 32,
        "expected": None,
        "seal_sha256": "ab" * 32,
        "retain_until": "2033",
        "location": "x",
    }
    Archive(tmp_path / "archive").write(
        History([Writer(OTHER_STORE).event("archive.receipt", None, data)], [1], OTHER_STORE)
    )
    (tmp_path / "key").write_bytes(KEY.public_key().public_bytes_raw())
    _, said = verify("--archive", tmp_path / "archive", "--key", tmp_path / "key", "--dsn", dsn)
    assert "no longer exists" not in said, said
