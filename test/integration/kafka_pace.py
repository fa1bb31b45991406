"""Brokers that are slow, throttle, or close the connection on a record they will never take; speaks TAP."""
import subprocess

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
from harness import (ADMIN, BOOTSTRAP, BROKER, CHECK, DELIVERED, KAFKA, TOPIC, alter_topic, compare_ledger, create_extension, expect, main, ok, poll,
                     read_topic, setting, sql, state_changes, wait)
import os

DEAD = "from admin.dead_letter where sink = 'kafka'"


def begin():
    create_extension()
    sql(CHECK)
    wait(DELIVERED, "delivery has begun", 90)


def insert(rows, kilobytes):
    """Rows that hardly compress; the last audit_id of them."""
    sql(f"select count(admin_internal.append_event('bulk', to_json((select string_agg(md5(random()::text || n || i), '') "
        f"from generate_series(1, {kilobytes} * 32) as i)))) from generate_series(1, {rows}) as n")
    return int(sql("select max(audit_id) from admin.audit where event_type = 'bulk'"))


def quota(rate):
    """How many bytes a second the broker takes of us; None: as many as it can."""
    how = ["--add-config", f"producer_byte_rate={rate}"] if rate else ["--delete-config", "producer_byte_rate"]
    subprocess.run(["java", "-cp", os.environ["KAFKA_LIBS"] + "/*", "kafka.admin.ConfigCommand", "--bootstrap-server", BOOTSTRAP, "--alter", *how,
                    "--entity-type", "clients", "--entity-name", "admin_ext"], check=True, stdout=subprocess.DEVNULL)


def throttled():
    quota(100_000)
    insert(8000, 1)
    states = set()

    def is_delivered():
        states.add(sql(f"select state || coalesce(': ' || last_error, '') {KAFKA} and lag_rows > 0"))
        return sql(DELIVERED) == "t"

    ok(poll(is_delivered, 300), "8 MB drain through a quota of 100 kB a second", sql(f"select state, last_error, lag_rows {KAFKA}"))
    ok("idle" not in states, "a worker with a lag is not idle", states)
    ok(not [state for state in states if "correct admin_ext.kafka_brokers" in state], "nobody is told to start the brokers", states)
    quota(None)
    compare_ledger("a quota")


def hung_up_on():
    """The broker takes requests of up to 2 MB, and closes the connection on others; the topic would take more."""
    with open(BROKER.directory / "server.properties", "a") as properties:
        properties.write("socket.request.max.bytes=2000000\n")
    BROKER.kill()
    BROKER.start()
    alter_topic(TOPIC, max_message_bytes=20_000_000)
    setting("kafka_options", "message.max.bytes=20000000")
    sql(CHECK)
    wait(DELIVERED, "small records are delivered", 90)
    insert(50, 8)
    large = insert(1, 5000)
    insert(50, 8)
    wait(f"select count(*) = 1 {DEAD} and audit_id = {large}", "a record that the broker hangs up on is a dead letter", 240)
    ok("socket.request.max.bytes" in sql(f"select error {DEAD}"), "its error says what is in the way", sql(f"select error {DEAD}"))
    wait(DELIVERED, "the rest goes on", 120)
    ok(sql(f"select count(*) {DEAD}") == "1", "no other record is a dead letter", sql(f"select * {DEAD}"))
    compare_ledger("all but the one")


def restarted():
    """A broker that is restarted while a record is on its way hangs up, too."""
    for _ in range(4):
        large = insert(1, 1000)
        BROKER.kill()
        BROKER.start()
        wait(DELIVERED, "a record is delivered after a restart", 120)
    ok(sql(f"select count(*) {DEAD}") == "1", "and is no dead letter", sql(f"select * {DEAD}"))
    compare_ledger("restarts")


if __name__ == "__main__":
    main(begin, throttled, hung_up_on, restarted)
