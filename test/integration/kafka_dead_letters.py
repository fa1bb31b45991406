"""Records that Kafka refuses for good, and what an operator can do about them; speaks TAP."""

import os
import random
import subprocess
import time

from harness import (
    DELIVERED,
    KAFKA,
    TOPIC,
    alter_topic,
    compare_chain,
    compare_ledger,
    create_extension,
    expect,
    kill_worker,
    main,
    ok,
    setting,
    sql,
    wait,
)

ROUNDS = int(os.environ.get("RETRY_ROUNDS", "12"))
DEAD = "from admin.dead_letter where sink = 'kafka'"
SMALL, LARGE = 100_000, 4_000_000


def insert(*kilobytes):
    """Rows of so many kilobytes that hardly compress; the last audit_id of them."""
    sql(
        "select admin_internal.append_event('size', to_json((select string_agg(md5(random()::text || n || i), '') "
        f"from generate_series(1, kb * 32) as i))) from unnest(array{list(kilobytes)}) with ordinality as k(kb, n)"
    )
    return int(sql("select max(audit_id) from admin.audit where event_type = 'size'"))


def begin():
    create_extension()
    setting("kafka_options", "message.max.bytes=5000000")
    alter_topic(TOPIC, max_message_bytes=SMALL)
    wait(DELIVERED, "delivery has begun", 90)


def sets_too_large():
    """The producer sends sets of up to a megabyte, the topic takes a tenth: none of the records is to blame."""
    insert(*[8] * 1000)
    wait(DELIVERED, "small records reach a topic of small sets", 90)
    ok(
        sql(f"select count(*) {DEAD}") == "0",
        "no small record is a dead letter in a topic of small sets",
        sql(f"select * {DEAD} limit 3"),
    )
    compare_ledger("small sets")


def rejected():
    insert(*[8] * 200, 300, *[8] * 200, 500, 8)
    wait(f"select count(*) = 2 {DEAD}", "the two records that are too large are dead letters", 90)
    wait(DELIVERED, "records besides the two dead letters are delivered", 90)
    ok(
        sql(f"select distinct error {DEAD}") == "larger than max.message.bytes of the topic allows",
        "the error of a dead letter names max.message.bytes of the topic",
        sql(f"select error {DEAD}"),
    )
    ok(sql(f"select dead_letters {KAFKA}") == "2", "worker_status counts two dead letters")
    compare_ledger("all but the two dead letters")


def retried():
    first, second = (int(line) for line in sql(f"select audit_id {DEAD} order by 1").splitlines())
    sql(f"select admin.retry_dead_letter('kafka', {first})")
    wait(
        f"select attempts = 2 and not exists (select from admin.dead_letter_retry) {DEAD} and audit_id = {first}",
        "a retry that fails is one more attempt, and the answer",
    )
    alter_topic(TOPIC, max_message_bytes=LARGE)
    ok(sql(f"select count(*) {DEAD}") == "2", "no dead letter is retried unasked")
    sql(f"select admin.retry_dead_letter('kafka', {first}), admin.retry_dead_letter('kafka', {first})")
    wait(f"select count(*) = 1 {DEAD}", "a dead letter that is delivered is removed")
    ok(
        sql(f"select sink_status from admin.audit_delivery where sink = 'kafka' and audit_id = {first}") == "delivered",
        "a dead letter that was retried counts as delivered",
    )
    sql(f"select admin.retry_dead_letter('kafka', {second})")
    wait(f"select count(*) = 0 {DEAD}", "a second dead letter is delivered when it is retried")
    compare_ledger("dead letters that were retried")
    compare_chain("a dead letter has a number once it is delivered")
    run = subprocess.run(
        ["psql", "-X", "-v", "VERBOSITY=verbose", "-c", f"select admin.retry_dead_letter('kafka', {second})"],
        capture_output=True,
        text=True,
    )
    ok("P0002" in run.stderr, "what is no dead letter cannot be sent again", run.stderr)


def killed_while_retried():
    """The worker is killed somewhere around the retry; the record may not come twice, nor get lost."""
    for _ in range(ROUNDS):
        alter_topic(TOPIC, max_message_bytes=SMALL)
        audit_id = insert(8, 300)
        expect(
            lambda: sql(f"select count(*) {DEAD} and audit_id = {audit_id}", check=False) == "1", "it is a dead letter"
        )
        alter_topic(TOPIC, max_message_bytes=LARGE)
        sql(f"select admin.retry_dead_letter('kafka', {audit_id})")
        insert(8)
        # Within the second that it takes the worker to look, and the moment that it takes to send.
        time.sleep(random.uniform(0, 1.3))
        kill_worker()
    # Some were tried again only after the topic had gone back to small records.
    sql(f"select admin.retry_dead_letter(sink, audit_id) {DEAD}")
    wait(f"select count(*) = 0 {DEAD}", f"all dead letters are delivered after {ROUNDS} rounds of kills", 120)
    wait(DELIVERED, "all other rows are delivered after retries under kills", 90)
    compare_ledger("retries under kills")
    compare_chain("retries under kills")


if __name__ == "__main__":
    main(begin, sets_too_large, rejected, retried, killed_while_retried)
