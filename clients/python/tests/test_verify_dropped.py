"""Months that the database has dropped, and rows that are gone without that."""

import contextlib
import json
import time
from pathlib import Path

import asyncpg
import pytest
from admin_client.verify import dropped
from admin_client.verify.compare import Comparison
from admin_client.verify.report import WRONG, Report, Stream
from admin_client.verify.scratch import scratch
from evidence_sources import OTHER_STORE, STORE, Writer
from test_verify_database import archive, delivered, lines_of, server, sql, tampered, verify  # noqa: F401  (fixtures)
from test_verify_links import changed

NOVEMBER = "2026-11-01T00:00:00.000000Z"
BEFORE = "2026-10-31T23:59:59.000000Z"
DATA = {
    "partition": "audit_y2026m10",
    "from": "2026-10-01T00:00:00+00:00",
    "to": "2026-11-01T00:00:00+00:00",
    "rows": 2,
    "first_audit_id": "90",
    "last_audit_id": "100",
    "sinks": {},
    "last_numbers": {},
}
OCTOBER = dropped.Month("2026-10-01T00:00:00.000000Z", NOVEMBER, 90, 100)


def compared_with(*months, audit_id=100, recorded=BEFORE, delivered_drop=True, rejected=False):
    """The database lacks one row of the archive.  Kept: 99, which is of the next month."""
    report = Report()
    with scratch() as connection:
        compared = Comparison(connection, ("the archive", "the database"), ("archive", "database"))
        for store in (STORE, OTHER_STORE):
            compared.begin(0, Stream("archive", "archive", store, "kafka"))
        for number, kept in ((2, 99), (9, 200)):
            for side in (0, 1) if kept == 99 or delivered_drop else (1,):
                compared.add(side, STORE if side == 0 else "", kept, number, b"x", NOVEMBER)
        compared.add(0, STORE, audit_id, 1, b"y", recorded)
        compared.add(0, OTHER_STORE, 7000, 1, b"z", NOVEMBER)
        for store, month in months:
            compared.dropped(store, 200, month)
        if rejected:
            compared.rejected("kafka", 200, NOVEMBER, "too large")
        compared.judge(report, {STORE})
    return report


@pytest.mark.parametrize(
    "audit_id, recorded, wrong",
    [
        (100, BEFORE, 0),
        (90, BEFORE, 0),
        (89, BEFORE, 1),
        (101, BEFORE, 1),
        (100, NOVEMBER, 1),
        (100, "2026-09-30T23:59:59.999999Z", 1),
        (100, "", 1),
    ],
)
def test_a_row_was_dropped_if_an_event_covers_its_time_and_its_number(audit_id, recorded, wrong):
    """Row 99 was kept though 100 was dropped: its transaction took the number later than the time."""
    report = compared_with((STORE, OCTOBER), audit_id=audit_id, recorded=recorded)
    assert report.count(WRONG) == wrong and bool(report.findings.counts["note", "older"]) == (not wrong)


def test_without_an_event_nothing_was_dropped():
    assert compared_with().count(WRONG) == 1


def test_an_event_of_the_store_of_another_database_drops_nothing():
    """Whoever can write to the topic can begin a store of his own."""
    assert compared_with((OTHER_STORE, OCTOBER)).count(WRONG) == 1


@pytest.mark.parametrize("own", [{STORE}, None], ids=["database", "archive"])
def test_stores_of_others_are_set_aside_at_once(own):
    """There may be so many that the documents cannot be read through for each."""
    statements = []
    with scratch() as connection:
        connection.set_trace_callback(statements.append)
        compared = Comparison(connection, ("the topic", "the other one"), ("topic", "database" if own else "topic"))
        for number in range(50):
            stream = Stream("topic", "topic", f"{number:08}{OTHER_STORE[8:]}" if number else STORE, "kafka")
            stream.rootless = number > 0
            compared.begin(0, stream)
            compared.add(0, stream.store, 100 + number, 1, b"x", NOVEMBER)
        compared.begin(1, Stream("topic", "topic", STORE, "kafka"))
        compared.add(1, STORE, 100, 1, b"x", NOVEMBER)
        compared.judge(report := Report(), own)
        assert connection.execute("select count(*) from document where side = 0").fetchone() == (1,)
    assert report.count(WRONG) == 0 and "agree on 1 documents" in report.compared[-1]
    assert sum(statement.startswith("delete from document ") for statement in statements) <= 2


@pytest.mark.parametrize("delivered_drop, rejected", [(True, False), (False, False), (False, True)])
def test_an_event_that_nobody_else_has_yet_is_a_point(delivered_drop, rejected):
    """Also where a dead letter explains that."""
    report = compared_with(("", OCTOBER), delivered_drop=delivered_drop, rejected=rejected)
    assert report.count(WRONG) == 0 and report.findings.counts["attention", "partition.dropped"] == (not delivered_drop)


def document(data, kind=dropped.TYPE, **more):
    return json.dumps({**json.loads(Writer().event(kind, None, data)), **more}, separators=(",", ":")).encode()


def test_events_of_documents():
    text = b"\n".join(
        (
            document(DATA),
            document(DATA, "other"),
            document(DATA, source=f"/admin_ext/{OTHER_STORE}"),
            document(DATA).replace(b'"from"', b'"to":0,"from"'),
            b'"type":"ptt.admin.partition.dropped"',
            b"",
        )
    )
    assert [*dropped.of_documents(STORE, text)] == [(1, OCTOBER)]


@pytest.mark.parametrize(
    "change, month",
    [
        ({}, OCTOBER),
        ({"from": "2026-10-01T02:00:00+02:00"}, OCTOBER),
        ({"from": "-infinity"}, OCTOBER._replace(since="")),
        ({"from": "2026-10-01"}, None),
        ({"to": "infinity"}, None),
        ({"to": 1}, None),
        ({"first_audit_id": None, "last_audit_id": None}, None),
        ({"last_audit_id": "9" * 30}, None),
        ({"last_audit_id": 100}, None),
        ({"last_audit_id": "١"}, None),
    ],
)
def test_what_an_event_says(change, month):
    row = {"event_type": dropped.TYPE, "source_event_id": None, "payload": json.dumps({**DATA, **change})}
    assert dropped.of_row(row) == month
    assert (
        dropped.of_row({**row, "source_event_id": "e1"}) is None
        and dropped.of_row({**row, "payload": "[" * 100_000}) is None
    )


# -- with a server ----------------------------------------------------------------------------------------------------


def test_the_oldest_rows_are_missing_where_no_month_was_dropped(archive):  # noqa: F811
    dsn, _, arguments = archive
    with (
        tampered(dsn, 1, "delete from admin.audit where audit_id = 1"),
        changed(dsn, "update admin.audit_dropped set below = 2", "admin.audit_dropped"),
    ):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 1 and "document 1 (audit_id 1) of the archive is missing in the database" in said, said


def test_rows_of_a_month_that_was_dropped_are_no_alarm(server):  # noqa: F811
    """The last test: the month is gone.  Its number is higher than those of the rows that were kept."""
    dsn, _, files = server
    sql(
        dsn,
        "alter table admin.audit disable trigger audit_append_only",
        "insert into admin.audit (event_type, recorded_at, payload) values ('old', '2016-02-03', '{}')",
        "alter table admin.audit enable always trigger audit_append_only",
        "select admin.create_audit_partitions()",
    )
    delivered(dsn, Path(files))
    deadline = time.monotonic() + 60
    while sql(dsn, "select count(*) from admin.audit where event_type = 'partition.dropped'") == 0:
        assert time.monotonic() < deadline
        with contextlib.suppress(asyncpg.ObjectNotInPrerequisiteStateError):  # the position has not been recorded yet
            sql(dsn, "select admin.drop_audit_partitions('9 years')")
        time.sleep(0.05)
    rows = sql(dsn, "select count(*) from admin.audit")
    while len(lines_of(Path(files))) < rows + 1:  # and the row that was dropped
        assert time.monotonic() < deadline
        time.sleep(0.05)
    status, said = verify("--ndjson", files, "--dsn", dsn)
    assert (
        status == 0
        and "of the NDJSON files is of a month that the database says it has dropped" in said
        and "agree on" in said
    ), said
