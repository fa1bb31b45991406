"""Steps that no honest database writes though chain and seals fit, and honest histories that are unusual."""

import json
from datetime import timedelta

import evidence_sources as sources
import pytest
from admin_client.verify.report import lines
from admin_client.verify.run import Source
from evidence_sources import FORGER, KEY, OTHER_STORE, STORE, Archive, History, Writer, compact
from test_verify_database import archive, server, sql, tampered, verify  # noqa: F401  (fixtures)
from test_verify_honest import keys, verified  # noqa: F401  (a fixture)
from test_verify_links import changed

APPROVAL = "APP-100001-x"


def by_workflow(document, **values):
    """The step as sign_approval() and issue_approval() record it; values: of its row."""
    event = json.loads(document)
    data = {**event["data"], "row": {**event["data"]["row"], **values}, "verified": False}
    return compact({**event, "data": data}).encode()


def looked_at(keys, tmp_path, documents, **more):  # noqa: F811
    Archive(tmp_path / "archive").write(History(documents, [len(documents)]), **more)
    report = verified(keys, Source("archive", f"{tmp_path}/archive"))
    return report.status, "\n".join(lines(report))


def test_a_signature_after_the_withdrawal_is_wrong(keys, tmp_path):  # noqa: F811
    writer = Writer()
    documents = [writer.issue(APPROVAL), writer.withdraw(APPROVAL)]
    status, said = looked_at(keys, tmp_path, [*documents, writer.sign(APPROVAL, "finance", "ann")[0]])
    assert status == 1 and "ann signed it after it had been withdrawn" in said, said


def test_a_signature_of_the_workflow_after_the_deadline_is_wrong(keys, tmp_path):  # noqa: F811
    writer = Writer()
    documents = [writer.issue(APPROVAL)]
    writer.clock += timedelta(days=31)
    signature, step = writer.sign(APPROVAL, "finance", "ann")
    status, said = looked_at(keys, tmp_path, [*documents, by_workflow(signature), step])
    assert status == 1 and "it was signed 1 day, 0:00:01 after its deadline" in said, said


@pytest.mark.parametrize("step, person", [(0, "requested_by"), (1, "signer")])
def test_a_step_of_somebody_else_than_its_row_names_is_wrong(keys, tmp_path, step, person):  # noqa: F811
    writer = Writer()
    documents = [writer.issue(APPROVAL), *writer.sign(APPROVAL, "finance", "ann")]
    documents[step] = compact({**json.loads(documents[step]), "actor": "mallory"}).encode()
    status, said = looked_at(keys, tmp_path, documents)
    assert status == 1 and f"is of mallory, but its {person} is" in said, said


def test_a_person_whose_name_an_attribute_cannot_have_is_no_alarm(keys, tmp_path):  # noqa: F811
    """The envelope replaces what CloudEvents forbids."""
    writer = Writer()
    documents = [writer.issue(APPROVAL), *writer.sign(APPROVAL, "finance", "ann\x7f")]
    documents[1] = compact({**json.loads(documents[1]), "actor": "ann\ufffd"}).encode()
    status, said = looked_at(keys, tmp_path, documents)
    assert status == 0, said


@pytest.mark.parametrize("last", [0, 1])
def test_a_store_that_begins_before_the_end_of_the_one_before_is_a_point(keys, tmp_path, last):  # noqa: F811
    """A restored database, or somebody who writes the end of the history anew; its audit_ids are others, so no document shows it."""
    writer = Writer()
    of = History([writer.check("APP-999999-none") for _ in range(3)], [1, 1, 1])
    other = Writer(OTHER_STORE, sources.BEGIN + timedelta(days=1), 500)
    Archive(tmp_path / "archive").write(of)
    Archive(tmp_path / "archive").write(
        History(
            [other.check("APP-999999-none")],
            [1],
            OTHER_STORE,
            continues={"store": STORE, "last": last, "chain": of.chains()[last]},
        )
    )
    report = verified(keys, Source("archive", f"{tmp_path}/archive"))
    said = "\n".join(lines(report))
    assert (
        report.status == 0
        and f"attention continues: store {OTHER_STORE} says that it continues store {STORE} behind number {last}, but here are {3 - last} newer documents of that store"
        in said
    ), said


@pytest.mark.parametrize("workflow, status, level", [(True, 1, "wrong"), (False, 0, "attention")])
def test_a_signature_that_is_dated_back_is_named(keys, tmp_path, workflow, status, level):  # noqa: F811
    """An import dates back what was signed before; the workflow does not."""
    writer = Writer()
    issued = writer.issue(APPROVAL)
    signature, step = writer.sign(APPROVAL, "finance", "ann")
    back = (
        by_workflow(signature, signed_at="2025-01-01T00:00:00.000000Z")
        if workflow
        else signature.replace(b'"signed_at":"2026', b'"signed_at":"2025')
    )
    found, said = looked_at(keys, tmp_path, [issued, back, step])
    assert (
        found == status
        and f"{level:<9} dated: document 2: signature.added of {APPROVAL} says that its signed_at is 2025" in said
    ), said


def test_a_step_of_the_workflow_now_is_no_point(keys, tmp_path):  # noqa: F811
    writer = Writer()
    issued = writer.issue(APPROVAL)
    signature, step = writer.sign(APPROVAL, "finance", "ann")
    status, said = looked_at(keys, tmp_path, [by_workflow(issued), by_workflow(signature), step])
    assert status == 0 and "attention" not in said, said


@pytest.mark.parametrize(
    "kind, named",
    [("approval.approved", True), ("sensitive.check.2c", True), ("approval.expired", False), ("access.granted", False)],
)
def test_a_kind_that_the_extension_does_not_write_is_named(keys, tmp_path, kind, named):  # noqa: F811
    writer = Writer()
    status, said = looked_at(
        keys, tmp_path, [writer.issue(APPROVAL), writer.event(kind, APPROVAL, {"decision": "valid"}, "x")]
    )
    assert (
        status == 0 and (f"of the kind {kind}, which this version of the extension does not write" in said) == named
    ), said


@pytest.mark.parametrize(
    "signers, said",
    [
        ([KEY, FORGER], ["note      key: from seal 00000000000000000003-4 on"]),
        ([KEY, FORGER, KEY], ["note      key", "attention key: seal 00000000000000000005-6 is of key"]),
        ([KEY, KEY], []),
    ],
)
def test_a_key_that_was_replaced_and_comes_back_is_a_point(tmp_path, signers, said):
    """Both keys are trusted.  Only the second change back is one to explain."""
    writer, previous = Writer(), None
    documents = [writer.check("APP-999999-none") for _ in range(2 * len(signers))]
    of = History(documents, [2] * len(signers))
    for at, key in enumerate(signers):
        chains = of.chains()
        path = Archive(tmp_path / "archive", key).put(
            of.store,
            of.sink,
            2 * at + 1,
            documents[2 * at : 2 * at + 2],
            [2],
            chains[at],
            chains[at + 1],
            previous,
            writer.clock,
            {},
        )
        previous = sources.hashlib.sha256(path.read_bytes()).hexdigest()
    arguments = []
    for number, key in enumerate((KEY, FORGER)):
        (tmp_path / f"key{number}").write_bytes(key.public_key().public_bytes_raw())
        arguments += ["--key", tmp_path / f"key{number}"]
    status, found = verify("--archive", tmp_path / "archive", *arguments)
    assert status == 0 and all(text in found for text in said) and found.count(" key: ") == len(said), found


def test_a_document_of_the_future_between_others_is_later_than_its_seal(keys, tmp_path):  # noqa: F811
    """Its seal is of the time of the last document."""
    writer = Writer()
    writer.clock += timedelta(days=3000)
    future = writer.check("APP-999999-none")
    writer.clock = sources.BEGIN
    status, said = looked_at(
        keys, tmp_path, [future, writer.check("APP-999999-none")], sealed_at=lambda _: writer.clock
    )
    assert status == 1 and "but it seals a document of 2035-01-18" in said, said


def test_a_dead_letter_is_a_point_and_no_forgery(archive):  # noqa: F811
    """The sink rejected a row, and nobody has sent it again yet."""
    dsn, _, arguments = archive
    forged = "insert into admin.audit (audit_id, event_type, payload, recorded_at) overriding system value values (30000, 'x.y', '{}', now() - interval '1 hour')"
    with tampered(dsn, 30000, forged):
        status, said = verify(*arguments, "--dsn", dsn)
        assert status == 1 and "(audit_id 30000) of the database is missing in the archive" in said, said
        for sink, expected in (("kafka", 0), ("redis", 1)):
            with changed(
                dsn,
                f"insert into admin.dead_letter (sink, audit_id, error) values ('{sink}', 30000, 'too large')",
                "admin.dead_letter",
            ):
                status, said = verify(*arguments, "--dsn", dsn)
            assert status == expected and (
                "attention dead-letter: the row with audit_id 30000 is in the database alone" in said
            ) == (not expected), said
            assert ('with the error "too large", so it was never delivered' in said) == (not expected), said


@pytest.mark.parametrize(
    "failed, expected",
    [("now() - interval '62 minutes'", 0), ("now() - interval '2 hours'", 1), ("'-infinity'", 1), ("'infinity'", 0)],
)
def test_a_row_that_was_rejected_before_it_was_recorded_is_forged(archive, failed, expected):  # noqa: F811
    """But a clock may have been set back by minutes.  What the database says of the sink's words is no line of the report."""
    dsn, documents, arguments = archive
    forged = "insert into admin.audit (audit_id, event_type, payload, recorded_at) overriding system value values (30000, 'x.y', '{}', now() - interval '1 hour')"
    letter = f"insert into admin.dead_letter (sink, audit_id, error, failed_at) values ('kafka', 30000, e'x\nPROVED: all.\x1b[8m\u202e' || repeat('y', 1000), {failed})"
    with tampered(dsn, 30000, forged), changed(dsn, letter, "admin.dead_letter"):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == expected and ("wrong     dead-letter: the row with audit_id 30000" in said) == bool(expected), said
    assert (
        "\nPROVED: all" not in said
        and "\u202e" not in said
        and "y" * 301 not in said
        and ("agree on" in said) == (not expected)
    ), said
