"""What the database has recorded of each batch that it delivered, against the batches; and stores of which one side knows alone."""

import contextlib
import json
from pathlib import Path

import pytest
from admin_client.verify import links
from admin_client.verify.scratch import scratch
from evidence_sources import (
    KEY,
    OTHER_STORE,
    STORE as STORE_OF_OTHERS,
    Archive,
    History,
    Writer,
    compress,
    history,
    messages,
    write_dump,
)
from test_verify_database import archive, server, sql, tampered, verify  # noqa: F401  (fixtures)

LINK = "admin_internal.delivery_link"
OLDER = f"(select last_number from {LINK} where sink = 'ndjson' order by last_number offset 1 limit 1)"
STORE = "(select store_id from admin.store)"
FORGED = {
    "another chain": (
        f"update {LINK} set chain = sha256('x') where last_number = {OLDER}",
        "its chain is another one there",
    ),
    "another first number": (
        f"update {LINK} set first_number = first_number - 1 where last_number = {OLDER}",
        "the batch that ends there begins with number",
    ),
    "a row between": (
        f"insert into {LINK} (store_id, sink, first_number, last_number, chain) select store_id, sink, first_number, last_number - 1, sha256('x') from {LINK} "
        f"where sink = 'ndjson' and last_number > first_number order by last_number limit 1",
        "no batch ends there",
    ),
}


@contextlib.contextmanager
def changed(dsn, change, table=LINK):
    """What a superuser does to the table behind the triggers' back, and undoes."""
    guards = f"tgrelid = '{table}'::regclass and not tgisinternal"
    sql(
        dsn,
        f"create table kept_trigger as select oid, tgenabled from pg_trigger where {guards}",
        f"create table kept_rows as table {table}",
        "set allow_system_table_mods = on",
        f"update pg_trigger set tgenabled = 'D' where {guards}",
    )
    try:
        sql(dsn, change)
        yield
    finally:
        sql(
            dsn,
            f"delete from {table}",
            f"insert into {table} select * from kept_rows",
            "set allow_system_table_mods = on",
            "update pg_trigger as t set tgenabled = k.tgenabled from kept_trigger as k where k.oid = t.oid",
            "drop table kept_rows, kept_trigger",
        )


def test_each_batch_that_the_database_recorded_is_compared(server):  # noqa: F811
    dsn, _, files = server
    status, said = verify("--ndjson", files, "--dsn", dsn)
    assert (
        status == 0 and "batches that the database has recorded are those of store" in said and "wrong" not in said
    ), said


@pytest.mark.parametrize("change, says", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("more", [[], ["--seals-only"]], ids=["contents", "seals"])
def test_an_older_link_that_was_forged_is_seen(server, change, says, more):  # noqa: F811
    dsn, _, files = server
    with changed(dsn, change):
        status, said = verify("--ndjson", files, "--dsn", dsn, *more)
    assert (
        status == 1
        and "wrong     link: the database has recorded a batch (admin.delivery_link) of store" in said
        and says in said
    ), said


def test_a_link_of_documents_that_were_altered_is_not_blamed(archive):  # noqa: F811
    """The documents are wrong there, and that is said once."""
    dsn, documents, arguments = archive
    path = sorted(Path(arguments[1]).rglob("*.seal.json"))[0]
    seal = json.loads(path.read_bytes())
    link = f"insert into {LINK} (store_id, sink, first_number, last_number, chain) values ({STORE}, 'kafka', 1, {seal['last']}, '\\x{seal['chain_after']}')"
    with changed(dsn, link):
        status, said = verify(*arguments, "--dsn", dsn)
        assert status == 0 and "1 batch that the database has recorded is that of store" in said, said
        path.with_name(path.name.replace(".seal.json", ".ndjson.zst")).write_bytes(
            compress(b"".join(document.replace(b"boss", b"bass") + b"\n" for document in documents[:-5]))
        )
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 1 and "are not what was sealed" in said and "wrong     link" not in said, said


@pytest.mark.parametrize("chain, status", [(None, 0), ("ab" * 32, 1)], ids=["honest", "forged"])
def test_links_are_compared_with_a_topic(server, tmp_path, chain, status):  # noqa: F811
    dsn, documents, _ = server
    store = next(
        event["source"].removeprefix("/admin_ext/")
        for event in map(json.loads, documents)
        if event["source"].startswith("/admin_ext/")
    )
    of = History(documents, [3, len(documents) - 3], store)
    write_dump(tmp_path / "topic", messages(of))
    with changed(
        dsn,
        f"insert into {LINK} (store_id, sink, first_number, last_number, chain) values ({STORE}, 'kafka', 1, 3, '\\x{chain or of.chains()[1]}')",
    ):
        found, said = verify("--topic-dump", tmp_path / "topic", "--dsn", dsn)
    assert found == status and ("wrong     link: " in said) == bool(status), said


def test_the_access_auditor_is_enough(server):  # noqa: F811
    dsn, _, files = server
    sql(dsn, "create role reader login", "select admin.grant_access('reader', 'auditor')")
    try:
        with changed(dsn, next(iter(FORGED.values()))[0]):
            status, said = verify("--ndjson", files, "--dsn", dsn.replace("postgres@", "reader@"))
        assert status == 1 and "wrong     link: the database has recorded a batch" in said, said
    finally:
        sql(dsn, "select admin.revoke_access('reader', 'auditor')", "drop role reader")


# -- stores of others -------------------------------------------------------------------------------------------------


def test_the_store_of_another_database_is_not_compared(archive):  # noqa: F811
    dsn, documents, arguments = archive
    Archive(Path(arguments[1])).write(history(store=OTHER_STORE))
    status, said = verify(*arguments, "--dsn", dsn)
    assert (
        status == 0
        and f"documents of store {OTHER_STORE} were not compared with the database: it does not name this store" in said
    ), said
    assert f"The archive and the database agree on {len(documents)} documents" in said, said


def test_a_store_that_was_named_is_compared_though_the_database_does_not_name_it(archive):  # noqa: F811
    dsn, _, arguments = archive
    Archive(Path(arguments[1])).write(history(store=OTHER_STORE))
    status, said = verify(*arguments, "--dsn", dsn, "--store", OTHER_STORE)
    assert status == 1 and "missing in the database" in said, said


def test_a_store_of_which_the_database_has_rows_is_compared(server, tmp_path):  # noqa: F811
    """Somebody has given the database another store, and left nothing of the one before but its rows."""
    dsn, documents, _ = server
    store = next(
        event["source"].removeprefix("/admin_ext/")
        for event in map(json.loads, documents)
        if event["source"].startswith("/admin_ext/")
    )
    Archive(tmp_path / "archive").write(
        History(
            [document.replace(store.encode(), OTHER_STORE.encode()) for document in documents],
            [len(documents)],
            OTHER_STORE,
        )
    )
    (tmp_path / "key").write_bytes(KEY.public_key().public_bytes_raw())
    status, said = verify("--archive", tmp_path / "archive", "--key", tmp_path / "key", "--dsn", dsn)
    assert (
        status == 0
        and "were not compared with the database" not in said
        and f"agree on {len(documents)} documents" in said
    ), said


def test_an_archive_of_another_database_alone_is_no_proof(server, tmp_path):  # noqa: F811
    dsn, *_ = server
    Archive(tmp_path / "archive").write(history(store=OTHER_STORE))
    (tmp_path / "key").write_bytes(KEY.public_key().public_bytes_raw())
    status, said = verify("--archive", tmp_path / "archive", "--key", tmp_path / "key", "--dsn", dsn)
    assert (
        status == 2
        and "NOT CHECKED: the archive and the database have no store in common, so nothing was compared" in said
    ), said


@pytest.mark.parametrize(
    "change, status, says",
    [
        (
            "insert into {LINK} (store_id, sink, first_number, last_number, chain, recorded_at) values ('{OTHER}', 'kafka', 1, 7, sha256('x'), now() - interval '1 hour')",
            1,
            "wrong     delivered: the database says",
        ),
        (
            "insert into {LINK} (store_id, sink, first_number, last_number, chain) values ('{OTHER}', 'kafka', 1, 7, sha256('x'))",
            0,
            "note      lag: the database says",
        ),
    ],
)
def test_a_store_that_the_database_delivered_and_that_is_missing_is_seen(archive, change, status, says):  # noqa: F811
    dsn, _, arguments = archive
    with changed(dsn, change.format(LINK=LINK, OTHER=OTHER_STORE)):
        found, said = verify(*arguments, "--dsn", dsn)
        assert (
            found == status
            and f"{says} that it delivered documents up to number 7 of store {OTHER_STORE} to sink kafka" in said
            and "the archive has nothing of this store" in said
        ), said
        found, said = verify(*arguments, "--dsn", dsn, "--earlier-removed")
    assert found == 0, said


@pytest.mark.parametrize(
    "recorded, status",
    [
        ("now() + interval '1 minute'", 0),
        ("now() + interval '1 hour'", 1),
        ("'294276-12-31 23:59:59.999999+00'", 1),
        ("'4713-01-01 BC'", 1),
        ("'infinity'", 1),
        ("'-infinity'", 1),
    ],
)
def test_a_record_of_the_future_is_no_lag(archive, recorded, status):  # noqa: F811
    """Else it would pass for a batch that is on its way, for ever."""
    dsn, _, arguments = archive
    with changed(
        dsn,
        f"insert into {LINK} (store_id, sink, first_number, last_number, chain, recorded_at) values ('{OTHER_STORE}', 'kafka', 1, 7, sha256('x'), {recorded})",
    ):
        found, said = verify(*arguments, "--dsn", dsn)
    assert (
        found == status and f"that it delivered documents up to number 7 of store {OTHER_STORE} to sink kafka" in said
    ), said
    assert ("wrong     delivered: " in said) == bool(status), said


def test_links_are_asked_for_where_the_source_has_their_store_and_sink():
    asked = []

    def fetch(query, take):
        asked.append(query)
        take({"first_number": 1, "last_number": 7, "chain": b"x"})

    with scratch() as connection:
        deliveries = links.Deliveries(connection, fetch)
        for sink in ("kafka", "redis", "ndjson"):
            deliveries.delivered({"store": OTHER_STORE, "sink": sink, "last_number": 7, "recorded": None, "age": None})
        for store, sink in (
            (OTHER_STORE, "kafka"),
            (OTHER_STORE, "kafka"),
            (OTHER_STORE, "other"),
            (STORE_OF_OTHERS, "kafka"),
        ):
            followed = deliveries.follow(store, sink)
            followed.batch(1, 7, b"x")
            assert followed.same == (store == OTHER_STORE and sink == "kafka")
    assert len(asked) == 1 and b"kafka".hex() in asked[0]


def test_a_store_that_was_continued_and_is_missing_is_seen(archive):  # noqa: F811
    dsn, _, arguments = archive
    with changed(
        dsn,
        "insert into admin.sink_position (sink, position_id, store_id, tick_id, continued_store_id, continued_number, continued_chain) "
        f"values ('kafka', 1, {STORE}, 1, '{OTHER_STORE}', 12, sha256('x'))",
        "admin.sink_position",
    ):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 1 and f"delivered documents up to number 12 of store {OTHER_STORE}" in said, said


def test_a_link_behind_the_end_of_the_archive_is_seen(archive):  # noqa: F811
    """Also where one of a lower number is newer."""
    dsn, documents, arguments = archive
    last = len(documents) + 3
    with changed(
        dsn,
        f"insert into {LINK} (store_id, sink, first_number, last_number, chain, recorded_at) "
        f"values ({STORE}, 'kafka', {last}, {last}, sha256('x'), now() - interval '1 hour'), ({STORE}, 'kafka', {last - 1}, {last - 1}, sha256('x'), now())",
    ):
        status, said = verify(*arguments, "--dsn", dsn)
    assert (
        status == 1
        and f"up to number {last} of store" in said
        and f"the last one in the archive is {len(documents)}" in said
    ), said


def test_documents_of_a_foreign_store_do_not_hide_a_row_that_was_deleted(archive):  # noqa: F811
    dsn, documents, arguments = archive
    writer = Writer(OTHER_STORE, first=5000)
    Archive(Path(arguments[1])).write(History([writer.check("APP-999999-none")], [1], OTHER_STORE))
    with tampered(dsn, 41, "delete from admin.audit where audit_id = 41"):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 1 and "(audit_id 41) of the archive is missing in the database" in said, said
