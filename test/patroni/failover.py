"""Primaries are killed and switched over under load: delivery goes on by itself, and loses nothing.

The ledger: each check that was acknowledged is in the database, and each row of the database is in
the files once.  With synchronous replication no node kill may take back what a sink has got.
"""

import json
import os
import random
import sys
import threading
import time

import harness
import psycopg2
from cluster import FILES, Cluster, poll

ROUNDS = int(os.environ.get("PATRONI_ROUNDS", "3"))
SEED = int(os.environ.get("SEED", "1"))
WRITERS = 3
DELIVERED = "select not exists (select from admin.audit_delivery where sink_status <> 'delivered')"
STATE = "select string_agg(state || coalesce(': ' || last_error, ''), ', ') from admin.worker_status"

count = failed = 0


def ok(good, what):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {what}", flush=True)
    return good


class Writer(threading.Thread):
    """Asks one check after the other, changes approvals in between, and remembers which checks were answered."""

    def __init__(self, cluster, name):
        super().__init__(daemon=True)
        self.cluster, self.name, self.ending = cluster, name, threading.Event()
        self.acknowledged = []

    def run(self):
        number = 0
        while not self.ending.is_set():
            try:
                connection = psycopg2.connect(
                    host="127.0.0.1,127.0.0.1",
                    port=",".join(str(n.port) for n in self.cluster.nodes),
                    user="postgres",
                    dbname="postgres",
                    target_session_attrs="read-write",
                    connect_timeout=3,
                )
            except psycopg2.OperationalError:
                self.ending.wait(0.2)
                continue
            try:
                # Without autocommit the answer is acknowledged by the commit.
                with connection.cursor() as cursor:
                    while not self.ending.is_set():
                        number += 1
                        request = f"{self.name}-{number}"
                        cursor.execute("select admin.sensitive_check('APP-000001-x', request_id => %s)", (request,))
                        if number % 3 == 0:
                            cursor.execute(
                                "update admin.approval set resource = %s where approval_id = 'APP-000001-x'", (request,)
                            )
                        connection.commit()
                        self.acknowledged.append(request)
            except psycopg2.Error:
                pass
            finally:
                connection.close()


def records():
    """Every document of the topic, as a reader of committed records gets them; of each partition in order."""
    for _, _, document in harness.read_topic():
        yield document


def lines():
    """Every document of the files, in the order of writing; half a line is an error."""
    for file in sorted(FILES.glob("postgres-*.ndjson"), key=lambda file: file.stat().st_mtime_ns):
        for line in file.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                raise ValueError(f"half a line in {file}")
            yield json.loads(line)


def compare(primary, acknowledged, documents, what):
    rows = dict(primary.sql("select audit_id::text, coalesce(request_id, '') from admin.audit"))
    held, twice, foreign, last, disordered = {}, 0, 0, 0, 0  # last: change of the approval
    for document in documents:
        number = document["auditid"]
        twice += number in held
        held[number] = document.get("requestid", "")
        foreign += rows.get(number) != held[number]
        if "sensitive.check" not in document["type"]:
            disordered += int(number) < last
            last = int(number)
    requests = set(rows.values())
    lost = sum(request not in requests for request in acknowledged)
    missing = len(rows.keys() - held.keys())
    ok(
        (lost, missing, twice, foreign, disordered) == (0, 0, 0, 0, 0),
        f"{what}: of {len(acknowledged)} acknowledged {lost} lost; of {len(rows)} rows {missing} not sent, {twice} twice, {foreign} foreign, {disordered} out of order",
    )


def kill_node(cluster):
    node = cluster.primary()
    node.kill()
    other = next(n for n in cluster.nodes if n is not node)
    good = poll(lambda: cluster.primary() is other, 60)
    node.start()
    return good


def kill_postmaster(cluster):
    node = cluster.primary()
    pid = node.postmaster()
    node.kill_postmaster()
    return poll(lambda: (primary := cluster.primary()) and primary.postmaster() not in (None, pid), 60)


def switch_over(cluster):
    before = cluster.primary()
    return cluster.switch_over() and poll(lambda: cluster.primary() not in (None, before), 60)


def delivers(cluster):
    """Delivery has caught up, without anybody's help."""

    def caught_up():
        primary = cluster.primary()
        return primary is not None and primary.value(DELIVERED)

    if poll(caught_up, 90):
        return True
    print(f"# {cluster.primary() and cluster.primary().value(STATE)}")
    return False


def main():
    chance = random.Random(SEED)
    harness.make_topic(harness.TOPIC)
    cluster = Cluster()
    try:
        if not ok(cluster.start(), "the cluster starts with a synchronous standby"):
            return
        cluster.primary().sql(
            "create extension admin_ext; select admin.create_audit_partitions(); "
            "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) "
            "values ('APP-000001-x', 'a', '{r}', 1, 'me', now() + interval '1 day')"
        )
        store = cluster.primary().value("select admin.store_id()")
        acknowledged = []
        faults = [kill_node, kill_postmaster, switch_over]
        for number in range(1, ROUNDS + 1):
            fault = (
                faults[number - 1]
                if number <= len(faults)
                else chance.choice([kill_node, kill_node, kill_postmaster, switch_over])
            )
            writers = [Writer(cluster, f"{number}-{n}") for n in range(WRITERS)]
            for writer in writers:
                writer.start()
            enough = poll(lambda: all(len(writer.acknowledged) > 20 for writer in writers))
            time.sleep(chance.random())
            good = fault(cluster)
            for writer in writers:
                writer.ending.set()
            for writer in writers:
                writer.join(60)
                acknowledged += writer.acknowledged
            ok(enough and good, f"round {number}, {fault.__name__}: there is a primary again")
            ok(poll(cluster.is_whole, 90), f"round {number}: there is a synchronous standby again")
            ok(delivers(cluster), f"round {number}: delivery goes on by itself")
            compare(cluster.primary(), acknowledged, lines(), f"round {number}, files")
            compare(cluster.primary(), acknowledged, records(), f"round {number}, Kafka")
        ok(cluster.primary().value("select admin.store_id()") == store, "the store is the same after all rounds")
    finally:
        cluster.stop()
        print(f"1..{count}")


main()
sys.exit(1 if failed or count == 0 else 0)
