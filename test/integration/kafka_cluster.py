"""Three brokers: restarted in turn, leaders moved, coordinators killed, two of three away, all under load; speaks TAP."""

import contextlib
import os
import pathlib
import signal
import threading
import time

from confluent_kafka import ElectionType, TopicPartition
from harness import (
    ADMIN,
    CHECK,
    DELIVERED,
    KAFKA,
    TOPIC,
    Broker,
    common,
    compare_ledger,
    create_extension,
    expect,
    ok,
    poll,
    sql,
    wait,
)
from kafka_faults import write_until

DIRECTORY = pathlib.Path(os.environ["KAFKA_DIR"])
BROKERS = {n: Broker(DIRECTORY / str(n), pid) for n, pid in enumerate(os.environ["KAFKA_NODE_PIDS"].split(), 1)}
STATES = "__transaction_state"


def partitions(topic=TOPIC):
    """By number: (leader, all that have a copy in sync)."""
    return {
        number: (p.leader, set(p.isrs)) for number, p in ADMIN.list_topics(topic, 10).topics[topic].partitions.items()
    }


def in_sync(*topics):
    """All of them, everywhere."""

    def are():
        with contextlib.suppress(Exception):
            return all(isrs == set(BROKERS) for topic in topics for _, isrs in partitions(topic).values())
        return False

    expect(are, "all copies are in sync again", 120)


def is_gone(pid):
    """It is a child of the script that runs the tests, and may be left a zombie."""
    with contextlib.suppress(FileNotFoundError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def end(node, how):
    """Ends a broker, and waits until it is gone."""
    broker = BROKERS[node]
    broker.kill(how)
    if broker.process:
        broker.process.wait(90)
    else:
        expect(lambda: is_gone(broker.pid), "a broker ends", 90)


def delivered():
    return int(sql(f"select delivered_rows {KAFKA}"))


def goes_on(name, seconds=90):
    """Rows are delivered now."""
    before = delivered()
    ok(poll(lambda: delivered() > before, seconds), name, sql(f"select state, last_error {KAFKA}"))


@contextlib.contextmanager
def load(name):
    """Writes meanwhile; then the ledger is compared."""
    stop = threading.Event()
    writer = threading.Thread(target=write_until, args=(stop, "-R", "60"))
    writer.start()
    try:
        goes_on(f"{name}: rows are delivered beforehand")
        yield
    finally:
        stop.set()
        writer.join()
    wait(DELIVERED, f"{name}: all is delivered", 90)
    compare_ledger(name)


def begin():
    create_extension()
    sql(CHECK)
    wait(DELIVERED, "delivery has begun", 90)
    ok(all(isrs == set(BROKERS) for _, isrs in partitions().values()), "each of three brokers has a copy", partitions())


def rolling_restart():
    with load("brokers restarted in turn"):
        for node, how in ((1, signal.SIGTERM), (2, signal.SIGKILL), (3, signal.SIGTERM)):
            end(node, how)
            goes_on(f"two of three brokers are enough when broker {node} is ended by {how.name}")
            BROKERS[node].start()
            in_sync(TOPIC, STATES)


def moved_leader():
    with load("leaders moved"):
        before = partitions()
        # After a restart of all the last one leads hardly anything: the preferred ones take over.
        preferred = ADMIN.elect_leaders(ElectionType.PREFERRED, [TopicPartition(TOPIC, p) for p in before])
        preferred.result()
        expect(lambda: partitions() != before, "a partition has another leader", 30)
        goes_on("delivery follows a leader that has moved")


def killed_coordinator():
    """The broker that coordinates our transactions, by the log of transactions, is that of one of its partitions: each is killed once."""
    with load("the coordinator of transactions killed"):
        for node in sorted({leader for leader, _ in partitions(STATES).values()})[:2]:
            end(node, signal.SIGKILL)
            goes_on(f"delivery goes on when broker {node}, a coordinator of transactions, is killed")
            BROKERS[node].start()
            in_sync(TOPIC, STATES)


def two_away():
    with load("two of three away"):
        leader = partitions()[0][0]
        for node in [node for node in BROKERS if node != leader]:
            end(node, signal.SIGKILL)
        wait(
            f"select state = 'backing_off' and lag_rows > 0 {KAFKA}",
            "with one of three brokers nothing is delivered, and the worker backs off",
            60,
        )
        ok(sql(CHECK) != "", "checks are answered while two of three brokers are away")
        before, changes = delivered(), time.monotonic()
        ok(
            not poll(lambda: delivered() > before, 3),
            "no row counts as delivered while two of three brokers are away",
            time.monotonic() - changes,
        )
        for node in BROKERS:
            if node != leader:
                BROKERS[node].start()
        goes_on("delivery goes on by itself when the brokers are back")
        in_sync(TOPIC, STATES)


def stop():
    for broker in BROKERS.values():
        broker.stop()


if __name__ == "__main__":
    common.main(begin, rolling_restart, moved_leader, killed_coordinator, two_away, at_end=stop)
