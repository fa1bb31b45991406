"""Copies of the data at one broker: clones, standbys, older backups, a worker that was frozen; speaks TAP."""

import os
import shutil
import signal
import subprocess
import time

from harness import (
    AS_SERVER,
    BIN,
    BROKER,
    CHECK,
    DELIVERED,
    KAFKA,
    SCRATCH,
    compare_chain,
    compare_ledger,
    create_extension,
    expect,
    main,
    ok,
    pg_ctl,
    poll,
    read_topic,
    setting,
    sql,
    state_changes,
    wait,
)


def copy_cluster(name):
    """A copy of the stopped cluster, with a socket of its own."""
    copy = SCRATCH / name
    subprocess.run([*AS_SERVER, "cp", "-r", str(SCRATCH / "data"), str(copy)], check=True)
    own_socket(copy)
    return copy


def own_socket(directory):
    with open(directory / "postgresql.auto.conf", "a") as conf:
        conf.write(f"unix_socket_directories = '{directory}'\n")


def start_clone(name):
    """A clone of the cluster starts beside it and takes over."""
    pg_ctl("stop", "-m", "fast")
    clone = copy_cluster("clone")
    pg_ctl("start")
    wait(f"select state = 'idle' {KAFKA}", f"{name}: the first server delivers", 90)
    pg_ctl("start", data=clone)
    wait(f"select state = 'idle' {KAFKA}", f"{name}: its clone takes over", 90, host=clone)
    return clone


def begin():
    create_extension()
    # What the files of NDJSON notice of a copy is told elsewhere.
    setting("sinks", "kafka")
    # A worker leaves an event of the change, which a copy that is made too early lacks.
    seen = "select value = 'kafka' from admin_internal.setting_seen where name = 'admin_ext.sinks'"
    expect(lambda: sql(seen) == "t", "the worker has seen the new setting")
    sql(CHECK)
    wait(DELIVERED, "delivery has begun", 90)


def fencing():
    """A clone of the cluster takes over; the older worker stops."""
    clone = start_clone("a clone")
    sql(CHECK)
    wait(f"select state = 'fenced' {KAFKA}", "the first server is fenced by its clone")
    ok("another worker" in sql(f"select last_error {KAFKA}"), "last_error of the fenced server names another worker")
    pg_ctl("stop", "-m", "fast", data=clone)
    shutil.rmtree(clone)
    sql("select pg_reload_conf()")
    wait(DELIVERED, "a reload lets the fenced server deliver again", 90)


def older_backup():
    """A copy from before the last commits: the topic knows more than it does."""
    pg_ctl("stop", "-m", "fast")
    old = copy_cluster("old")
    pg_ctl("start")
    for _ in range(5):
        sql(CHECK)
    wait(DELIVERED, "rows are delivered after a copy of the cluster was made", 90)
    wait(f"select state = 'idle' {KAFKA}", "the newer copy is at work", 90)
    pg_ctl("start", data=old)
    wait(
        f"select state = 'stopped' and last_error ~ 'has lost' {KAFKA}",
        "an older copy stops: the topic holds what it has lost",
        90,
        host=old,
    )
    # Both servers write one log.
    changes = state_changes()

    def is_disturbed():
        sql(CHECK)
        return state_changes() != changes

    poll(is_disturbed, 3)
    wait(DELIVERED, "the newer copy delivers beside the older copy, which has stopped")
    ok(state_changes() == changes, "an older copy that has stopped does not fence the newer copy")
    compare_ledger("an older copy beside the newer one")
    pg_ctl("stop", "-m", "fast", data=old)
    return old


def restored():
    """The older copy is all that is left; an operator says where it goes on, under a new store id."""
    old = older_backup()
    before = len(read_topic())
    pg_ctl("stop", "-m", "fast")
    pg_ctl("start", data=old)
    wait(f"select state = 'stopped' {KAFKA}", "the older copy stops when it is started alone", 90, host=old)
    store = sql("select store_id from admin.store", host=old)
    known = sql("select last_number, encode(chain, 'hex') from admin.delivery_chain('kafka')", host=old).split("|")
    sql("select admin.resync_sink('kafka', (select max(audit_id) + 1 from admin.audit))", host=old)
    highest = max(int(event["auditid"]) for _, _, event in read_topic())
    sql(CHECK, host=old)
    wait(DELIVERED, "resync_sink lets the older copy deliver", 90, host=old)
    records = read_topic()
    ok(
        len(records) == before + 2,
        "after resync_sink the older copy sends the event of the resync and the new row alone",
        (before, len(records)),
    )
    newest = max((event for _, _, event in records), key=lambda event: int(event["auditid"]))
    ok(
        store not in newest["source"] and int(newest["auditid"]) > highest,
        "after resync_sink an event has another source and an auditid above all that were sent",
        newest,
    )
    first = compare_chain("the new store", host=old)[0]
    ok(
        first["first"] == 1 and first["continues"] == {"store": store, "last": int(known[0]), "chain": known[1]},
        "the new store's chain begins at 1, and its first seal names the chain of the store before",
        first,
    )
    pg_ctl("stop", "-m", "fast", data=old)
    shutil.rmtree(old)
    pg_ctl("start")
    wait(f"select state = 'idle' {KAFKA}", "the newer copy is still in order when it is started again", 90)
    compare_chain("the store of the newer copy")


def promoted():
    """A standby is promoted and takes over from where the topic says."""
    standby = SCRATCH / "standby"
    subprocess.run(
        [*AS_SERVER, f"{BIN}/pg_basebackup", "-D", str(standby), "-R", "-c", "fast", "-X", "stream"],
        check=True,
        cwd=SCRATCH,
    )
    own_socket(standby)
    pg_ctl("start", data=standby)
    for _ in range(20):
        sql(CHECK)
    lsn = sql("select pg_current_wal_flush_lsn()")
    wait(f"select pg_last_wal_replay_lsn() >= '{lsn}'", "the standby has all", host=standby)
    ok(
        sql("select count(*) from admin.worker_status where pid is not null", host=standby) == "0",
        "on a standby no worker runs",
    )
    pg_ctl("stop", "-m", "immediate")
    pg_ctl("promote", data=standby)
    wait(f"select state = 'idle' {KAFKA}", "the worker of a promoted standby becomes idle", 90, host=standby)
    sql(CHECK, host=standby)
    wait(DELIVERED, "a promoted standby delivers what was pending and what comes", 90, host=standby)
    compare_ledger("a promoted standby", host=standby)
    pg_ctl("start")
    wait(f"select state = 'stopped' and last_error ~ 'has lost' {KAFKA}", "the old primary comes up, and stops", 90)
    pg_ctl("stop", "-m", "fast")
    sql(CHECK, host=standby)
    wait(DELIVERED, "the new primary delivers on, and was not fenced", 60, host=standby)
    compare_ledger("a promoted standby after its old primary came back", host=standby)
    compare_chain("a promoted standby goes on with numbers and chain", host=standby)
    pg_ctl("stop", "-m", "fast", data=standby)


def frozen():
    """The worker sleeps for longer than the broker keeps a transaction: nobody else has taken over."""
    setting("kafka_options", "transaction.timeout.ms=40000")
    sql(CHECK)
    wait(DELIVERED, "a row is delivered with a shorter timeout", 90)
    BROKER.kill(signal.SIGSTOP)
    sql("select count(admin_internal.append_event('bulk', '{}')) from generate_series(1, 20000)")
    worker = int(sql(f"select pid {KAFKA}"))
    ended = BROKER.says("due to timeout")
    wait(
        f"select query = 'waiting for the sink' from pg_stat_activity where pid = {worker}",
        "the worker has begun a transaction",
    )
    log = (SCRATCH / "server.log").stat().st_size
    os.kill(worker, signal.SIGSTOP)
    BROKER.kill(signal.SIGCONT)
    # So a transaction was open; the broker looks each ten seconds for what it has to end.
    expect(lambda: BROKER.says("due to timeout") > ended, "the broker ends the transaction", 120)
    os.kill(worker, signal.SIGCONT)
    wait(DELIVERED, "delivery goes on by itself after the broker has ended a frozen worker's transaction", 120)
    ok(
        "fenced" not in (SCRATCH / "server.log").read_text(errors="replace")[log:],
        "no worker is fenced when a frozen worker goes on",
    )
    compare_ledger("a worker that was frozen")


def roles_changed():
    """What a session remembers of roles is forgotten while the sink is being opened: no reason to end the server."""
    BROKER.kill(signal.SIGSTOP)
    sql("select pg_reload_conf()")
    sql(CHECK)
    wait(f"select state = 'backing_off' {KAFKA}", "a broker is waited for", 60)
    for n in range(5):
        sql(f"create role role_{n}")
        time.sleep(0.5)
    BROKER.kill(signal.SIGCONT)
    wait(DELIVERED, "rows are delivered when a paused broker answers", 90)
    ok(
        "terminated by signal" not in (SCRATCH / "server.log").read_text(errors="replace"),
        "no process of the server was ended",
    )


def short_timeout():
    setting("kafka_options", "transaction.timeout.ms=1000")
    wait(
        f"select state = 'stopped' and last_error ~ 'transaction.timeout.ms' {KAFKA}",
        "a timeout that is too short is named",
    )
    setting("kafka_options", "")
    sql(CHECK)
    wait(DELIVERED, "rows are delivered when the short timeout is gone", 90)


if __name__ == "__main__":
    main(begin, roles_changed, short_timeout, frozen, fencing, restored, promoted)
