"""The Kafka sink under faults; speaks TAP.

The ledger is the table itself: what a read_committed consumer sees has to be every
committed row once, unchanged, in order of commit per approval, whatever was killed.
"""
import os
import random
import shutil
import signal
import subprocess
import threading
import time

from harness import (ADMIN, AS_SERVER, BIN, BROKER, CHECK, DELIVERED, KAFKA, SCRATCH, TOPIC, compare_ledger, create_extension, main,
                     make_topic, ok, pg_ctl, read_topic, sql, wait)

ROUNDS = int(os.environ.get("KAFKA_ROUNDS", "50"))


def paused_broker():
    BROKER.kill(signal.SIGSTOP)
    started = time.monotonic()
    sql(CHECK)
    ok(time.monotonic() - started < 2, "writers are untouched by a paused broker")
    wait(f"select state = 'backing_off' {KAFKA}", "a broker that does not answer: backing_off", 90)
    BROKER.kill(signal.SIGCONT)
    wait(DELIVERED, "delivered when it answers again", 120)


def fencing():
    """A clone of the cluster takes over; the older worker stops."""
    clone = SCRATCH / "clone"
    pg_ctl("stop", "-m", "fast")
    subprocess.run([*AS_SERVER, "cp", "-r", str(SCRATCH / "data"), str(clone)], check=True)
    with open(clone / "postgresql.conf", "a") as conf:
        conf.write(f"unix_socket_directories = '{clone}'\n")
    pg_ctl("start")
    wait(f"select state = 'idle' {KAFKA}", "the first of two is at work", 90)
    pg_ctl("start", data=clone)
    wait(f"select state = 'idle' {KAFKA}", "its clone takes over", 90, host=clone)
    sql(CHECK)
    wait(f"select state = 'fenced' {KAFKA}", "the first is fenced")
    ok("another worker" in sql(f"select last_error {KAFKA}"), "and says by what")
    pg_ctl("stop", "-m", "fast", data=clone)
    shutil.rmtree(clone)
    sql("select pg_reload_conf()")
    wait(DELIVERED, "a reload lets it go on", 90)


WRITER = """
\\set n random(1, 9)
\\set v random(1, 1000000)
\\set kind random(1, 5)
begin;
\\if :kind = 1
set local synchronous_commit = off;
\\endif
update admin.approval set resource = (:v)::text where approval_id = 'APP-00000' || :n || '-k';
savepoint s;
select admin.sensitive_check('APP-00000' || :n || '-k');
\\if :kind = 2
rollback to s;
\\endif
\\if :kind = 3
rollback;
\\elif :kind = 4
prepare transaction 'p:client_id';
commit prepared 'p:client_id';
\\else
commit;
\\endif
"""


def write_until(stop):
    script = SCRATCH / "writer.sql"
    script.write_text(WRITER)
    while not stop.is_set():
        for gid in range(3):
            sql(f"rollback prepared 'p{gid}'", check=False)
        # What a crash leaves prepared holds locks: nobody waits for them for long.
        subprocess.run(["pgbench", "-n", "-c", "3", "-T", "5", "-f", str(script)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env={**os.environ, "PGOPTIONS": "-c lock_timeout=1s -c statement_timeout=10s"})


def kill_something():
    kind = random.choice(["worker", "worker", "ended", "postmaster", "broker"])
    pid = sql(f"select pid {KAFKA}", check=False)
    if kind == "worker" and pid:
        os.kill(int(pid), signal.SIGKILL)
    elif kind == "ended" and pid:
        os.kill(int(pid), signal.SIGTERM)
    elif kind == "postmaster":
        subprocess.run([*AS_SERVER, f"{BIN}/pg_ctl", "-D", str(SCRATCH / "data"), "-m", "immediate", "-w", "stop"], stdout=subprocess.DEVNULL, cwd=SCRATCH)
        pg_ctl("start")
    elif kind == "broker":
        BROKER.kill()
        BROKER.start()
    return kind


def ledger():
    stop = threading.Event()
    writer = threading.Thread(target=write_until, args=(stop,))
    writer.start()
    killed = {}
    for _ in range(ROUNDS):
        # Somewhere in the middle of whatever goes on.
        time.sleep(random.uniform(0.05, 1.2))
        kind = kill_something()
        killed[kind] = killed.get(kind, 0) + 1
    stop.set()
    writer.join()
    print(f"# killed: {killed}", flush=True)
    for gid in range(3):
        sql(f"commit prepared 'p{gid}'", check=False)
    wait(DELIVERED, f"all is delivered after {ROUNDS} rounds", 300)
    compare_ledger("ledger")


def topic_made_anew():
    ADMIN.delete_topics([TOPIC])[TOPIC].result()
    sql(CHECK)
    wait(f"select state in ('backing_off', 'stopped') {KAFKA}", "a deleted topic is a state", 90)
    deadline = time.monotonic() + 30
    while True:
        try:
            make_topic(TOPIC)
            break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    wait(f"select state = 'stopped' and last_error ~ 'made anew' {KAFKA}", "a topic made anew is noticed", 90)
    first = sql("select min(audit_id) from admin.audit_delivery where sink = 'kafka' and sink_status = 'pending'")
    sql(f"select admin.resync_sink('kafka', {first})")
    wait(DELIVERED, "resync_sink decides", 90)
    ok({event["auditid"] for _, _, event in read_topic()} ==
       set(sql(f"select audit_id from admin.audit where audit_id >= {first}").splitlines()), "what was asked for is there, once")


if __name__ == "__main__":
    main(create_extension, paused_broker, fencing, ledger, topic_made_anew)
