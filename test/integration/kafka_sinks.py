"""Several databases, several sinks, and others who use the topic; speaks TAP."""

import signal
import subprocess

from confluent_kafka import Producer
from harness import (
    BOOTSTRAP,
    BROKER,
    CHECK,
    DELIVERED,
    KAFKA,
    TOPIC,
    compare_ledger,
    create_extension,
    ends,
    expect,
    kill_worker,
    main,
    make_topic,
    ok,
    read_topic,
    setting,
    sql,
    wait,
)

NDJSON = DELIVERED.replace("kafka", "ndjson")


def begin():
    create_extension()
    sql(CHECK)
    wait(DELIVERED, "delivery has begun", 90)


def held_transaction():
    """One that is open for long holds nobody up, and comes at its commit."""
    session = subprocess.Popen(["psql", "-XAtq"], stdin=subprocess.PIPE, text=True)
    session.stdin.write("begin; select admin_internal.append_event('held', '{}');\n")
    session.stdin.flush()
    wait(
        "select count(*) = 1 from pg_stat_activity where state = 'idle in transaction' and backend_xid is not null",
        "a transaction is held open",
    )
    for _ in range(10):
        sql(CHECK)
    wait(DELIVERED, "other rows are delivered while a transaction is held open")
    ok(
        not any(event["type"] == "ptt.admin.held" for _, _, event in read_topic()),
        "the row of a held transaction is not delivered before its commit",
    )
    session.stdin.write("commit;\n")
    session.stdin.close()
    session.wait(30)
    wait(
        f"{DELIVERED} and exists (select from admin.audit where event_type = 'held')",
        "the row of a held transaction is delivered at its commit",
    )
    compare_ledger("a held transaction")


def one_sink_down():
    """What is wrong with one sink is no matter to the other."""
    BROKER.kill(signal.SIGSTOP)
    for _ in range(50):
        sql(CHECK)
    wait(NDJSON, "files are written while the broker is paused")
    wait(
        f"select state = 'backing_off' and lag_rows >= 50 {KAFKA}",
        "the backlog of Kafka shows while the broker is paused",
        90,
    )
    sql("select admin.create_audit_partitions()")
    BROKER.kill(signal.SIGCONT)
    wait(DELIVERED, "the backlog of Kafka is delivered when the broker answers", 120)
    setting("ndjson_directory", "/proc/nowhere")
    wait(
        "select state = 'backing_off' from admin.worker_status where sink = 'ndjson'",
        "the sink ndjson backs off while its files cannot be written",
    )
    sql(CHECK)
    wait(DELIVERED, "rows are delivered to Kafka while files cannot be written")
    sql("alter system reset admin_ext.ndjson_directory; ")
    sql("select pg_reload_conf()")
    wait(NDJSON, "files are written when they can be written again")
    compare_ledger("one sink down")


def databases():
    """Each has a store, a position and a transactional id of its own, in one topic."""
    sql("create database two")
    sql("alter system set admin_ext.databases = 'postgres, two'")
    sql("select pg_reload_conf()")
    two = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "two", "-c"]
    subprocess.run(
        [*two, "set client_min_messages = error; create extension admin_ext; select admin.create_audit_partitions()"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for _ in range(5):
        subprocess.run([*two, CHECK], check=True, stdout=subprocess.DEVNULL)
        sql(CHECK)
    wait(DELIVERED, "the first database is delivered")
    wait(
        "select lag_rows = 0 and state = 'idle' and delivered_rows > 0 from admin.worker_status where database = 'two' and sink = 'kafka'",
        "the second database is delivered",
        90,
    )
    kill_worker()
    sql(CHECK)
    wait(DELIVERED, "the first database is delivered after a kill", 90)
    wait(
        "select state = 'idle' from admin.worker_status where database = 'two' and sink = 'kafka'",
        "the worker of the second database is idle after a kill",
        90,
    )
    store = subprocess.run(
        [*two, "select store_id from admin.store"], capture_output=True, text=True, check=True
    ).stdout.strip()
    sources = [event["auditid"] for _, _, event in read_topic() if store in event["source"]]
    ok(
        len(sources) == len(set(sources)) == 5,
        "rows of the second database are in the topic once, under their own source",
        sources,
    )
    compare_ledger("rows of the first database")


def begin_another(*partitions):
    """A producer that is not ours, with a record in each of these partitions and its transaction open."""
    other = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": "another", "log_level": 0})
    other.init_transactions(30)
    other.begin_transaction()
    for partition in partitions:
        other.produce(TOPIC, b"not ours", partition=partition)
    other.flush(30)
    return other


def others_transaction():
    """Recovery reads past what another producer has begun only when that has ended."""
    other = begin_another(0, 1, 2)
    sql(CHECK)
    wait(DELIVERED, "delivery goes on behind another's open transaction")
    kill_worker()
    sql(CHECK)
    wait(
        f"select state = 'backing_off' and last_error ~ 'another producer has left open' {KAFKA}",
        "recovery waits for another's open transaction, and says so",
        90,
    )
    wait(f"select lag_rows > 0 {KAFKA}", "rows that wait for another's transaction are counted")
    ok(sql(DELIVERED) == "f", "no row is sent before another's transaction has ended")
    other.abort_transaction(30)
    wait(DELIVERED, "delivery goes on when another's transaction has been aborted", 90)
    compare_ledger("another's aborted transaction")


def open_before_newest():
    """Where recovery reads from is behind the open transaction, and no other partition shows that it is there."""
    before = ends()
    sql(CHECK)
    wait(DELIVERED, "a record shows which partition the checks go to")
    other = begin_another(*(partition for partition, end in enumerate(ends()) if end != before[partition]))
    sql(CHECK)
    wait(DELIVERED, "the newest record is behind another's open transaction")
    kill_worker()
    wait(
        f"select state = 'backing_off' and last_error ~ 'another producer has left open' {KAFKA}",
        "recovery waits for another's transaction in front of the newest record, and says so",
        90,
    )
    other.commit_transaction(30)
    sql(CHECK)
    wait(DELIVERED, "delivery goes on when another's transaction has been committed", 90)
    compare_ledger("another's committed transaction")


def topic_of_each():
    """Each database has a topic of its own by %d, and a name that is no topic's is told."""

    def ask(database, text):
        return subprocess.run(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", database, "-c", text], check=True, capture_output=True, text=True
        ).stdout.strip()

    for database in ("postgres", "two"):
        make_topic(f"trail.{database}")
    setting("kafka_topic", "trail.%d")
    for database in ("postgres", "two"):
        wait(
            f"select state = 'stopped' and last_error ~ 'recorded for another topic than \"trail.{database}\"' from admin.worker_status "
            f"where sink = 'kafka' and database = '{database}'",
            f"{database}: another topic is noticed",
            90,
        )
        ask(database, "select admin.resync_sink('kafka', (select max(audit_id) + 1 from admin.audit))")
        number = ask(database, f"{CHECK}; select max(audit_id) from admin.audit").splitlines()[-1]
        expect(lambda: ask(database, DELIVERED) == "t", f"{database}: delivered after a resync", 90)
        store = ask(database, "select store_id from admin.store")
        records = [event for _, _, event in read_topic(f"trail.{database}")]
        ok(
            {event["source"] for event in records} == {f"/admin_ext/{store}"}
            and number in {event["auditid"] for event in records},
            f"{database}: rows are delivered into a topic of its own",
        )
        place = ask(
            database, "select place from admin.sink_places() where sink = 'kafka' and database = current_database()"
        )
        ok(
            place == f'topic "trail.{database}", no schema registry',
            f"{database}: admin.sink_places() shows the topic",
            place,
        )
    sql('create database "three four"')
    ask("three four", "set client_min_messages = error; create extension admin_ext")
    sql("alter system set admin_ext.databases = 'postgres, two, \"three four\"'")
    sql("select pg_reload_conf()")
    wait(
        "select state = 'stopped' and last_error ~ 'makes the name \"trail.three four\" for this database, .*; change admin_ext.kafka_topic' "
        "from admin.worker_status where sink = 'kafka' and database = 'three four'",
        "last_error names a database whose name makes no valid name of a topic",
    )
    wait(f"select state = 'idle' {KAFKA}", "the worker of postgres is idle beside a database whose name is no topic's")


if __name__ == "__main__":
    main(begin, held_transaction, one_sink_down, databases, others_transaction, open_before_newest, topic_of_each)
