"""Two servers with one store's identity at one broker: which of them goes on, and that it does so by itself; speaks TAP."""

import shutil
import subprocess
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from harness import (
    ADMIN,
    AS_SERVER,
    BIN,
    BOOTSTRAP,
    CHECK,
    DELIVERED,
    KAFKA,
    SCRATCH,
    TOPIC,
    compare_ledger,
    ends,
    expect,
    main,
    ok,
    pg_ctl,
    poll,
    read_topic,
    sql,
    state_changes,
    wait,
)
from kafka_copies import begin, copy_cluster, own_socket, start_clone

CLAIM = "admin-ext-claim"
FENCED = f"select state = 'fenced' {KAFKA}"


def unique(name):
    events = [(event["source"], event["id"]) for _, _, event in read_topic()]
    ok(len(events) == len(set(events)), f"{name}: no two events have one source and id")


def claims():
    """(partition, offset, value) of all claims in the topic, committed or not."""
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "log_level": 0,
            "group.id": "claims",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(3)])
    found, ended = [], set()
    while len(ended) < 3:
        message = consumer.poll(10)
        if message is None:
            raise TimeoutError("the topic cannot be read")
        if message.error():
            ended.add(message.partition())
        else:
            found += [
                (message.partition(), message.offset(), value)
                for name, value in message.headers() or []
                if name == CLAIM
            ]
    consumer.close()
    return found


def stays_fenced(name, seconds, host=None):
    """However often it looks: it never fences the other one again."""
    ok(
        not poll(lambda: sql(FENCED, host=host) != "t", seconds),
        name,
        sql(f"select state, last_error {KAFKA}", host=host),
    )


def equal_claims():
    """A clone on the same timeline: the one that has a row first goes on, the other one is fenced; neither disturbs the other again."""
    clone = start_clone("a clone on the same timeline")
    changes = state_changes()
    sql(CHECK)
    wait(FENCED, "the first server is fenced by its clone")
    ok("another worker" in sql(f"select last_error {KAFKA}"), "last_error of the fenced server names another worker")
    wait(DELIVERED, "a fenced server comes back by itself while its clone has delivered nothing", 60)
    sql(CHECK, host=clone)
    wait(FENCED, "the clone is fenced when the first server has delivered", host=clone)
    wait(
        "select last_error ~ 'has delivered to topic .* what this database does not have' " + KAFKA,
        "the clone is fenced for good, for the first server has delivered",
        60,
        host=clone,
    )
    for _ in range(10):
        sql(CHECK)
        sql(CHECK, host=clone)
        time.sleep(1)
    stays_fenced("the clone stays fenced", 5, host=clone)
    wait(DELIVERED, "the first server goes on beside a fenced clone")
    # Both servers write one log: fenced, back, and at work by the first, fenced by the clone.
    ok(
        state_changes() - changes <= 5,
        "two servers with equal claims change state five times at most",
        state_changes() - changes,
    )
    unique("a clone")
    compare_ledger("a clone")
    sql("select pg_reload_conf()", host=clone)
    wait(
        f"select state = 'stopped' and last_error ~ 'has lost' {KAFKA}",
        "a reload of the clone says what is lost",
        60,
        host=clone,
    )
    sql(CHECK)
    wait(DELIVERED, "a reload of the clone does not keep the first server from delivering")
    pg_ctl("stop", "-m", "fast", data=clone)
    shutil.rmtree(clone)


def goes_on_as_another(name, host=None):
    """After resync_sink with the proposal: what it sends is of another store, and all that was sent differs."""
    store = sql("select store_id from admin.store", host=host)
    proposed = sql("select reason from admin.resync_proposal('kafka')", host=host)
    ok("The store gets a new id" in proposed, f"{name}: the proposal says that the store gets a new id", proposed)
    sql("select admin.resync_sink('kafka', (select from_audit_id from admin.resync_proposal('kafka')))", host=host)
    sql(CHECK, host=host)
    wait(DELIVERED, f"{name}: resync_sink lets the server deliver", 60, host=host)
    now = sql("select store_id from admin.store", host=host)
    ok(now != store, f"{name}: the store gets a new id, for the topic holds what the database does not have")
    ok(
        any(now in event["source"] for _, _, event in read_topic()),
        f"{name}: the new store id is in the source of what the server sends",
    )
    unique(name)


def clone_goes_on():
    """The clone is outdone by rows of the first, and is what goes on: two histories never have one store id."""
    clone = start_clone("a clone that is fenced")
    sql(CHECK)
    wait(DELIVERED, "the first server comes back, and delivers", 60)
    sql(CHECK, host=clone)
    wait(
        "select state = 'fenced' and last_error ~ 'what this database does not have' " + KAFKA,
        "the clone is fenced for rows of the first server that it does not have",
        60,
        host=clone,
    )
    pg_ctl("stop", "-m", "fast")
    goes_on_as_another("a clone goes on", host=clone)
    pg_ctl("stop", "-m", "fast", data=clone)
    shutil.rmtree(clone)
    pg_ctl("start")
    wait(f"select state = 'idle' {KAFKA}", "the first server is still in order when it is started again", 90)


def take_place(copy):
    """The copy is the one that stays."""
    pg_ctl("stop", "-m", "fast", data=copy)
    shutil.rmtree(SCRATCH / "data")
    subprocess.run([*AS_SERVER, "mv", str(copy), str(SCRATCH / "data")], check=True)
    conf = SCRATCH / "data/postgresql.auto.conf"
    conf.write_text(
        "".join(
            line
            for line in conf.read_text().splitlines(True)
            if not line.startswith(("unix_socket", "primary_conninfo"))
        )
    )
    pg_ctl("start")
    wait(f"select state = 'idle' {KAFKA}", f"the {copy.name} takes the place of the first server", 90)


def common_backlog():
    """Rows that both know may be delivered by both in turns: each of them once, and it ends."""
    pg_ctl("stop", "-m", "fast")
    pg_ctl("start", "-o", "-c admin_ext.sinks=")
    sql("select count(admin_internal.append_event('bulk', '{}')) from generate_series(1, 30000)")
    pg_ctl("stop", "-m", "fast")
    clone = copy_cluster("clone")
    pg_ctl("start")
    pg_ctl("start", data=clone)
    settled = (
        "select state = any('{%s}') or not exists (select from admin.audit_delivery where sink = 'kafka' and sink_status = 'pending') "
        + KAFKA
    )
    wait(settled % "fenced,stopped", "the first server has delivered a common backlog, or is fenced", 120)
    wait(settled % "fenced,stopped", "the clone has delivered a common backlog, or is fenced", 120, host=clone)
    pg_ctl("stop", "-m", "fast", data=clone)
    sql("select pg_reload_conf()")
    wait(settled % "stopped", "the first server alone delivers a common backlog, or has lost", 60)
    lost = sql(f"select state = 'stopped' {KAFKA}") == "t"
    unique("a backlog of two")
    if lost:
        pg_ctl("stop", "-m", "fast")
        pg_ctl("start", data=clone)
    host = clone if lost else None
    wait(DELIVERED, "one of two servers delivers all of a common backlog", 120, host=host)
    compare_ledger("a backlog of two", host=host)
    if lost:
        take_place(clone)
    else:
        shutil.rmtree(clone)


def make_standby():
    standby = SCRATCH / "standby"
    subprocess.run(
        [*AS_SERVER, f"{BIN}/pg_basebackup", "-D", str(standby), "-R", "-c", "fast", "-X", "stream"],
        check=True,
        cwd=SCRATCH,
    )
    own_socket(standby)
    pg_ctl("start", data=standby)
    lsn = sql("select pg_current_wal_flush_lsn()")
    wait(f"select pg_last_wal_replay_lsn() >= '{lsn}'", "the standby has all", host=standby)
    return standby


def promoted_beside():
    """The old primary still runs, idle; the new one has nothing to deliver yet.  Then the old one gets a row."""
    standby = make_standby()
    before = len(read_topic())
    pg_ctl("promote", data=standby)
    wait(f"select state = 'idle' {KAFKA}", "promoted, the new primary is at work", 90, host=standby)
    expect(claims, "it has left a claim")
    ok(len(read_topic()) == before, "no reader of the trail sees the claim of a new primary")
    changes = state_changes()
    sql(CHECK)
    wait(
        f"select state = 'fenced' and last_error ~ 'came after this one' {KAFKA}",
        "the old primary is fenced, and finds that another has come after it",
        60,
    )
    stays_fenced("the old primary stays fenced", 8)
    ok(
        state_changes() - changes <= 2,
        "the new primary is undisturbed when the old primary is fenced",
        state_changes() - changes,
    )
    ok(len(read_topic()) == before, "the row of a fenced old primary is not in the topic")
    return standby


def old_primary_returns(standby):
    """It is started again, and has a row; the new primary has still delivered nothing."""
    pg_ctl("stop", "-m", "fast")
    changes = state_changes()
    pg_ctl("start")
    wait(
        f"select state = 'fenced' and last_error ~ 'came after this one' {KAFKA}",
        "started again, the old primary fences nobody",
        60,
    )
    ok(
        state_changes() == changes + 1,
        "the new primary is undisturbed when the old primary is started again",
        state_changes() - changes,
    )
    pg_ctl("stop", "-m", "fast")
    sql(CHECK, host=standby)
    wait(DELIVERED, "the new primary delivers", 60, host=standby)
    ok(state_changes() == changes + 1, "the new primary is not fenced before it delivers", state_changes() - changes)


def emptied():
    """Retention removes all that the topic holds, the claim of a new primary that is still idle included: that is no loss."""
    standby = make_standby()
    pg_ctl("stop", "-m", "fast")
    pg_ctl("promote", data=standby)
    wait(f"select state = 'idle' {KAFKA}", "a standby is promoted before retention empties the topic", 90, host=standby)
    changes = state_changes()
    for partition, offset in enumerate(ends()):
        list(ADMIN.delete_records([TopicPartition(TOPIC, partition, offset)]).values())[0].result()
    ok(
        not poll(lambda: state_changes() != changes, 8),
        "an idle new primary is undisturbed when retention removes its claim",
        sql(f"select state, last_error {KAFKA}", host=standby),
    )
    pg_ctl("restart", "-m", "fast", data=standby)
    wait(
        f"select state = 'idle' {KAFKA}", "a new primary whose claim is gone is idle after a restart", 60, host=standby
    )
    sql(CHECK, host=standby)
    wait(DELIVERED, "a new primary whose claim is gone delivers", 60, host=standby)
    pg_ctl("stop", "-m", "fast", data=standby)


def forged_claims():
    """Whoever may write to the topic cannot make a server yield."""
    store = sql("select store_id from admin.store")
    genuine = claims()[0][2].decode().split(" ")
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "log_level": 0})
    home = sql("select system_identifier || '/99' from pg_control_system()")
    forgeries = [
        "",
        store,
        f"{store} ",
        f"{store} {home}",
        f"{store} {home} {genuine[2]} {genuine[3]}",
        f"{store} {home} {genuine[2]} ",
        f"{store} " + "x" * 400,
    ]
    for forgery in forgeries:
        producer.produce(TOPIC, key=None, value=b"", headers=[(CLAIM, forgery.encode())], partition=0)
    producer.flush()
    sql("select pg_reload_conf()")
    sql(CHECK)
    wait(DELIVERED, "a claim that this store has not made is no claim", 60)


def promoted():
    standby = promoted_beside()
    old_primary_returns(standby)
    compare_ledger("rows of the new primary", host=standby)
    unique("a promotion")
    take_place(standby)


def operator_decides():
    """The promoted one was the mistake, and has delivered: resync_sink lets the old primary go on, as another store."""
    standby = make_standby()
    pg_ctl("promote", data=standby)
    wait(f"select state = 'idle' {KAFKA}", "a standby is promoted by mistake", 90, host=standby)
    sql(CHECK)
    wait(
        f"select state = 'fenced' and last_error ~ 'came after this one' {KAFKA}", "the primary is fenced for good", 60
    )
    for _ in range(3):
        sql(CHECK, host=standby)
    wait(DELIVERED, "the standby that was promoted by mistake delivers", 60, host=standby)
    pg_ctl("stop", "-m", "fast", data=standby)
    shutil.rmtree(standby)
    goes_on_as_another("an operator has decided")


if __name__ == "__main__":
    main(begin, equal_claims, clone_goes_on, common_backlog, promoted, forged_claims, operator_decides, emptied)
