"""What the Kafka sink delivers, and what it says when it is set up wrong; speaks TAP."""

import hmac
import json
import os
import pathlib
import subprocess
import time

import jsonschema
from confluent_kafka import Producer
from harness import (
    BOOTSTRAP,
    CHECK,
    DELIVERED,
    KAFKA,
    SCRATCH,
    TOPIC,
    compare_chain,
    compare_ledger,
    create_extension,
    main,
    make_topic,
    ok,
    pg_ctl,
    read_topic,
    setting,
    sql,
    wait,
)


def delivery():
    create_extension()
    sql(CHECK)
    wait(DELIVERED, "rows are delivered", 90)
    records = read_topic()
    key, headers, event = records[0]
    ok(key == event["subject"], "the key is the approval")
    ok(
        headers["content-type"] == b"application/cloudevents+json; charset=UTF-8",
        "the content type is that of CloudEvents",
    )
    ok(event["specversion"] == "1.0" and event["type"].startswith("ptt.admin."), "the value is an event")
    compare_ledger("the first rows")
    ok(sql(f"select state {KAFKA}") == "idle", "the worker is idle when all rows are delivered")
    if os.environ.get("RDKAFKA") == "newer":
        maps = pathlib.Path("/proc", sql(f"select pid {KAFKA}"), "maps").read_text()
        ok("confluent_kafka.libs/librdkafka" in maps, "the worker uses the newer librdkafka")
    latency = "from admin.batch_latency where sink = 'kafka' and database = current_database()"
    ok(
        sql(f"select batches = (select batches {KAFKA}) {latency} and at_most_ms is null") == "t",
        "each batch has its place in the histogram",
        sql(f"select * {latency}"),
    )
    ok(
        sql(
            f"select count(*) = 0 from (select batches - lag(batches) over (order by at_most_ms) as more {latency}) as b where more < 0"
        )
        == "t",
        "the histogram of batch latency is cumulative",
    )


def ingested():
    """An event of another source keeps what is its own, and goes where its approval goes."""
    own = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/ff/eu-1",
        "type": "ptt.ff.approval.consumed",
        "time": "2026-11-23T20:00:00.000000Z",
        "subject": "APP-000001-k",
        "sequence": "17",
        "tenant": "de",
        "data": {"amount": 1},
    }
    other = {key: value for key, value in own.items() if key not in ("subject", "time", "tenant")} | {
        "id": "e-2",
        "sequence": "18",
    }
    for _ in range(2):
        sql(f"select admin.audit_ingest('{json.dumps([own, other])}')")
    wait(DELIVERED, "ingested events are delivered")
    records = [(key, event) for key, _, event in read_topic() if event["source"] == "/ff/eu-1"]
    ok(len(records) == 2, "each ingested event is delivered once", records)
    by_id = {event["id"]: (key, event) for key, event in records}
    ok(
        all({**by_id[event["id"]][1], **event} == by_id[event["id"]][1] for event in (own, other)),
        "ingested events are delivered as they came",
        records,
    )
    ok(
        by_id["e-1"][0] == "APP-000001-k" and by_id["e-2"][0] == "/ff/eu-1",
        "the key of an ingested event is its approval, or else its source",
        records,
    )
    ok(
        all(
            event["auditid"] == sql(f"select audit_id from admin.audit where source_event_id = '{name}'")
            for name, (_, event) in by_id.items()
        ),
        "auditid of an ingested event is the number of its row",
    )
    store = sql("select store_id from admin.store").encode()
    named = [
        (headers.get("admin-ext-store"), event["source"] == f"/admin_ext/{store.decode()}")
        for _, headers, event in read_topic()
    ]
    ok(
        set(named) == {(None, True), (store, False)},
        "a header names the store of each event that does not name it, and of no other",
        set(named),
    )
    schema = json.loads((pathlib.Path(__file__).parents[2] / "schema/admin_ext_event.schema.json").read_text())
    for _, _, event in read_topic():
        jsonschema.validate(event, schema)
    ok(True, "everything in the topic is what its schema says")


def missing_topic():
    setting("kafka_topic", "nowhere")
    sql(CHECK)
    wait(f"select state = 'backing_off' or state = 'stopped' {KAFKA}", "a topic that is not there is a state")
    ok(
        "nowhere" in sql(f"select last_error {KAFKA}"),
        "last_error names a topic that is not there",
        sql(f"select last_error {KAFKA}"),
    )
    setting("kafka_topic", TOPIC)
    wait(DELIVERED, "rows are delivered when the right topic is named")


def wrong_options():
    run = subprocess.run(
        ["psql", "-Xc", "alter system set admin_ext.kafka_options = 'linger.ms=1; no value'"],
        capture_output=True,
        text=True,
    )
    ok(
        "Option 2" in run.stderr and "DETAIL:  Option 2" in run.stderr,
        "a malformed option is refused and pointed at",
        run.stderr,
    )
    marker = SCRATCH / "data" / "ran"
    for property, reason in (
        (f"plugin.library.paths={marker}.so", 'Property "plugin.library.paths" loads libraries or runs commands'),
        (
            f"linger.ms=1\n\t sasl.kerberos.kinit.cmd =touch {marker}",
            'Property "sasl.kerberos.kinit.cmd" loads libraries or runs commands',
        ),
        ("ssl.engine.location=/x; linger.ms=1", 'Property "ssl.engine.location" loads'),
        (" ssl.providers = ../x", 'Property "ssl.providers" loads'),
        (f"sasl.kerberos.principal=$(touch {marker})", 'Property "sasl.kerberos.principal" is part of a command'),
        ("internal.termination.signal=9", 'Property "internal.termination.signal" is internal'),
        ("topic.offset.store.path=x", 'Property "topic.offset.store.path" is internal'),
    ):
        run = subprocess.run(
            ["psql", "-Xc", f"alter system set admin_ext.kafka_options = E'{property}'"], capture_output=True, text=True
        )
        ok(
            'invalid value for parameter "admin_ext.kafka_options"' in run.stderr
            and f"DETAIL:  {reason}" in run.stderr
            and "touch" not in run.stderr.split("LINE")[0],
            f"a property that owns the server is refused: {property.split('=')[0].split()[-1]}",
            run.stderr,
        )
    # In the file it is refused as well, and what holds is the value before.
    with open(SCRATCH / "data" / "postgresql.conf", "a") as conf:
        conf.write(
            f"admin_ext.kafka_options = 'security.protocol=sasl_plaintext; sasl.mechanism=GSSAPI; sasl.kerberos.kinit.cmd=touch {marker}'\n"
        )
    sql("select pg_reload_conf()")
    sql(CHECK)
    wait(DELIVERED, "a file that sets a forbidden property changes nothing")
    wait(
        "select exists (select from pg_file_settings where name = 'admin_ext.kafka_options' and error is not null)",
        "pg_file_settings shows the error of a file that sets a forbidden property",
    )
    ok(not marker.exists(), "no command has run")
    with open(SCRATCH / "data" / "postgresql.conf", "a") as conf:
        conf.write("admin_ext.kafka_options = ''\n")
    for url in ("file:///etc/passwd", "file:/etc/passwd", "gopher://127.0.0.1:1/", "scp://127.0.0.1/x"):
        run = subprocess.run(
            ["psql", "-Xc", f"alter system set admin_ext.schema_registry_url = '{url}'"], capture_output=True, text=True
        )
        ok("DETAIL:  It begins with http:// or https://." in run.stderr, f"a registry is no {url}", run.stderr)
    setting("kafka_options", "topic.acks=1")
    wait(
        f"select state = 'stopped' and last_error ~ 'property \"topic.acks\" is set by admin_ext alone' {KAFKA}",
        "acks cannot be set by the name topic.acks",
    )
    setting("kafka_options", "no.such.property=secret-value")
    wait(
        f"select last_error ~ 'no.such.property' and last_error !~ 'secret-value' {KAFKA}",
        "an unknown property is named, its value is not",
    )
    setting("kafka_options", "statistics.interval.ms=100")
    deadline = time.monotonic() + 60
    while (
        "statistics of librdkafka: {" not in (SCRATCH / "server.log").read_text(errors="replace")
        and time.monotonic() < deadline
    ):
        sql(CHECK)
    ok(time.monotonic() < deadline, "librdkafka's statistics are logged when they are asked for")
    setting("kafka_options", "")
    sql(CHECK)
    wait(DELIVERED, "rows are delivered when kafka_options is empty again")
    sql("create role nobody_special login")
    shown = sql(
        "set role nobody_special; select count(*) from pg_settings where name in ('admin_ext.kafka_options', 'admin_ext.schema_registry_auth')"
    )
    ok(shown == "0", "options are not shown to ordinary users")


def too_large():
    sql(
        "select admin_internal.append_event('size', to_json(repeat('x', n)), 'APP-000001-k') from unnest(array[10, 2000000, 20]) as n"
    )
    wait(
        "select count(*) = 1 from admin.audit_delivery where sink = 'kafka' and sink_status = 'failed'",
        "a record that is too large is a dead letter",
    )
    wait(DELIVERED, "rows around a dead letter are delivered")
    ok("large" in sql("select error from admin.dead_letter where sink = 'kafka'"), "the error of a dead letter is kept")
    ok(sql(f"select dead_letters {KAFKA}") == "1", "worker_status counts one dead letter")
    compare_ledger("all but the dead letter")
    compare_chain("all but the dead letter")


SEAL = 14  # which of a position's fields


def newest_position():
    """The fields of the newest position header: store, number of the batch, ten numbers, chain, nonce, seal."""
    headers = [
        headers["admin-ext-position"].decode().split()
        for _, headers, _ in read_topic()
        if "admin-ext-position" in headers
    ]
    return max(headers, key=lambda header: int(header[1]))


def seal(fields):
    """The seal of a position by the key of this store, which only a superuser can read."""
    key = bytes.fromhex(sql("select encode(key, 'hex') from admin_internal.store_key"))
    return hmac.new(key, " ".join(["kafka", *fields]).encode(), "sha256").hexdigest()


def forge(header):
    """Another producer writes a position header; returns where it stands."""
    places = []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "log_level": 0})
    producer.produce(
        TOPIC,
        b"forged",
        headers={"admin-ext-position": header},
        on_delivery=lambda _, message: places.append(f"partition {message.partition()}, offset {message.offset()}"),
    )
    producer.flush(30)
    sql("select pg_reload_conf()")
    return places[0]


def forgeries():
    """Headers that no worker has written, each with what is wrong with it; a later one follows a resync."""

    def changed(field, value):
        position = newest_position()[:SEAL]
        position[1] = str(int(position[1]) + 1)
        position[field] = value
        return position

    wrong = "its authentication code is wrong"
    yield " ".join(newest_position()[:1]), "it is malformed"
    yield newest_position()[0] + " x " + "9" * 1000, "it is malformed"
    yield " ".join(changed(4, "0")[:8]), "it is malformed"
    yield " ".join(changed(6, "9000000000000000000")), "it has no authentication code"
    yield " ".join([*changed(6, "9000000000000000000"), newest_position()[SEAL]]), wrong
    # A copy under a higher number, which would skip what comes next, and one that was sealed for another sink.
    yield " ".join([*changed(1, str(int(newest_position()[1]) + 1)), newest_position()[SEAL]]), wrong
    yield " ".join([*changed(4, "0"), hmac.new(b"", b"", "sha256").hexdigest()]), wrong
    # Whoever has the key, too, cannot contradict the database.
    for field, value, problem in (
        (6, "9000000000000000000", "its floor_audit_id is 9000000000000000000, not 0"),
        (5, "9000000000000000000", "it names audit_id 9000000000000000000"),
        (7, "1", "its backfill_audit_id is 1, not 0"),
        (8, "4711", "it counts 4711 delivered rows"),
        (10, "4711", "its last number is 4711"),
    ):
        position = changed(field, value)
        yield " ".join([*position, seal(position)]), problem


def forged():
    """A position that this store has not written stops delivery, and no row is lost."""
    highest = sql("select max(audit_id) from admin.audit")
    ok(
        seal(newest_position()[:SEAL]) == newest_position()[SEAL],
        "the seal of a position is HMAC-SHA-256 by the key of the store",
    )
    for number, (header, problem) in enumerate(forgeries(), 1):
        place = forge(header)
        sql(CHECK)
        wait(
            f"select state = 'stopped' and last_error ~ 'was not written by this database: {problem}' {KAFKA}",
            f"forged position {number} stops delivery: {problem}",
            90,
        )
        if problem.endswith(("malformed", "code", "wrong")):
            ok(
                f"({place})" in sql(f"select last_error {KAFKA}"),
                f"last_error names the record of forged position {number}",
                sql(f"select last_error {KAFKA}"),
            )
        ok(
            sql("select sink_status from admin.audit_delivery where sink = 'kafka' order by audit_id desc limit 1")
            == "pending",
            f"the row after forged position {number} is pending",
        )
        sql("select admin.resync_sink('kafka', (select from_audit_id from admin.resync_proposal('kafka')))")
        wait(DELIVERED, f"resync_sink with the proposal lets delivery go on after forged position {number}", 90)
    sent = [int(event["auditid"]) for _, _, event in read_topic()]
    ok(len(sent) == len(set(sent)), "no row is in the topic twice after forged positions")
    ok(
        set(sql(f"select audit_id from admin.audit where audit_id > {highest}").splitlines())
        <= {str(number) for number in sent},
        "no row is missing from the topic after forged positions",
    )
    compare_chain("resyncs that keep the store")


def crashed():
    """What was delivered in the second before a crash is not recorded, and an operator resyncs before a worker has looked."""
    for _ in range(20):
        delivered = int(sql(f"select delivered_rows {KAFKA}"))
        for _ in range(12):
            sql(CHECK)
        wait(f"select delivered_rows >= {delivered + 12} {KAFKA}", "twelve more rows are delivered before a crash")
        pg_ctl("stop", "-m", "immediate")
        pg_ctl("start", "-o", "-c admin_ext.sinks=ndjson")
        if int(sql("select last_number from admin.delivery_chain('kafka')")) < max(
            int(headers["admin-ext-number"]) for _, headers, _ in read_topic() if "admin-ext-number" in headers
        ):
            break
        pg_ctl("stop", "-m", "fast")
        pg_ctl("start")
        wait(f"select state = 'idle' {KAFKA}", "the worker is back", 90)
    else:
        ok(False, "a crash comes before the position is recorded")
    sql("select admin.resync_sink('kafka', (select from_audit_id from admin.resync_proposal('kafka')))")
    pg_ctl("stop", "-m", "fast")
    pg_ctl("start")
    sql(CHECK)
    wait(DELIVERED, "delivery goes on after a crash and a resync", 90)
    compare_chain("a resync after a crash gives no number twice")


def another_topic():
    """Nobody can say what of the trail another topic holds, but an operator."""
    before = len(read_topic())
    make_topic("other")
    setting("kafka_topic", "other")
    wait(
        f"select state = 'stopped' and last_error ~ 'recorded for another topic' {KAFKA}",
        "another topic stops delivery",
    )
    sql("select admin.resync_sink('kafka', (select max(audit_id) + 1 from admin.audit))")
    sql(CHECK)
    wait(DELIVERED, "resync_sink lets delivery go on in another topic")
    ok(
        len(read_topic("other")) == 2 and len(read_topic()) == before,
        "the new topic has the event of the resync and the row after it, the old one nothing new",
    )


if __name__ == "__main__":
    main(delivery, ingested, missing_topic, wrong_options, too_large, forged, crashed, another_topic)
