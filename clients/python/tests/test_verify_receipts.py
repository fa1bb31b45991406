"""What the database has recorded of its deliveries, and of the archive, against the archive itself."""

import contextlib
import hashlib
import json
import pathlib

import pytest
from test_verify_database import archive, server, sql, verify  # noqa: F401  (fixtures)

CUT = "the database has a receipt for documents up to"


def seals_of(arguments):
    """The seals of the archive that was made: (last number, chain, SHA-256 of the seal, path), in order."""
    paths = sorted(pathlib.Path(arguments[1]).rglob("*.seal.json"))
    read = [(json.loads(path.read_bytes()), path) for path in paths]
    return [
        (seal["last"], seal["chain_after"], hashlib.sha256(path.read_bytes()).hexdigest(), path) for seal, path in read
    ]


@contextlib.contextmanager
def recorded(dsn, receipts=(), chain=None):
    """The database has these receipts and this delivery chain, as if it had delivered what is in the archive."""
    triggers = "set session_replication_role = replica; alter table admin.archive_receipt disable trigger user"
    sql(
        dsn,
        *[
            f"insert into admin.archive_receipt (store_id, sink, last_number, chain, seal_sha256, retain_until, location, status) "
            f"select {store}, 'kafka', {last}, '\\x{head}', '\\x{seal}', now() + interval '7 years', 'there', '{status}' from admin.store"
            for last, head, seal, status, store in receipts
        ],
    )
    if chain is not None:
        sql(
            dsn,
            "set session_replication_role = replica",
            f"insert into admin.sink_position (sink, position_id, store_id, tick_id, last_number, chain) "
            f"select 'kafka', 1, store_id, 1, {chain[0]}, '\\x{chain[1]}' from admin.store",
        )
    try:
        yield
    finally:
        sql(
            dsn,
            triggers,
            "delete from admin.archive_receipt",
            "delete from admin.sink_position where sink = 'kafka'",
            "alter table admin.archive_receipt enable always trigger receipt_append_only",
            "alter table admin.archive_receipt enable always trigger receipt_append_only_statement",
        )


def test_an_honest_archive_has_what_the_database_was_told(archive):  # noqa: F811
    dsn, _, arguments = archive
    (first, head, seal, _), (last, end, newest, _) = seals_of(arguments)
    with recorded(dsn, [(first, head, seal, "ok", "store_id"), (last, end, newest, "ok", "store_id")], (last, end)):
        status, said = verify(*arguments, "--dsn", dsn)
    assert (
        status == 0
        and f"Its delivery chain is the database's at number {last}. 2 receipts of the database are of its seals."
        in said
    ), said


def test_a_tail_that_was_cut_off_is_seen(archive):  # noqa: F811
    dsn, _, arguments = archive
    (first, *_), (last, end, newest, path) = seals_of(arguments)
    for file in path.parent.glob(path.name.removesuffix(".seal.json") + ".*"):
        file.unlink()
    with recorded(dsn, [(last, end, newest, "ok", "store_id")]):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 1 and f"{CUT} {last}, but the archive ends at {first}" in said, said


@pytest.mark.parametrize(
    "change, says",
    [
        (
            lambda last, head, seal: (last, head, "ab" * 32, "ok", "store_id"),
            "with the seal " + "ab" * 32 + ", but the archive has another seal there",
        ),
        (
            lambda last, head, seal: (last, "ab" * 32, seal, "ok", "store_id"),
            "the chain is another one than the database has recorded: one of the two was rewritten",
        ),
        (lambda last, head, seal: (last - 1, head, seal, "ok", "store_id"), ", but no seal of the archive ends there"),
        (
            lambda last, head, seal: (last, head, seal, "ok", "'5d1f0c77-3b5a-4e0e-9d0c-7c1f2e3d4b5a'"),
            "but the archive has nothing of it",
        ),
    ],
    ids=["seal", "chain", "number", "store"],
)
def test_a_receipt_of_something_else_is_seen(archive, change, says):  # noqa: F811
    dsn, _, arguments = archive
    last, head, seal, _ = seals_of(arguments)[0]
    with recorded(dsn, [change(last, head, seal)]):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 1 and says in said, said


def test_another_delivery_chain_is_seen(archive):  # noqa: F811
    dsn, _, arguments = archive
    with recorded(dsn, chain=(seals_of(arguments)[0][0], "ab" * 32)):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 1 and "than the database has recorded: one of the two was rewritten" in said, said


def test_a_receipt_that_the_database_did_not_accept_is_a_point_to_look_at(archive):  # noqa: F811
    dsn, _, arguments = archive
    last, head, seal, _ = seals_of(arguments)[0]
    with recorded(dsn, [(last, head, seal, "mismatch", "store_id")]):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 0 and f"for documents up to {last} as mismatch" in said, said
