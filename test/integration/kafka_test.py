"""The Kafka sink against a real broker; speaks TAP.  Run by test/integration/run.

The ledger is the table itself: what a read_committed consumer sees has to be every
committed row once, unchanged, in order of commit per approval, whatever was killed.
"""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC = "ptt.audit.trail"
BIN = os.environ["PGBINDIR"]
SCRATCH = pathlib.Path(os.environ["SCRATCH"])
BOOTSTRAP = os.environ["KAFKA_BOOTSTRAP"]
ROUNDS = int(os.environ.get("KAFKA_ROUNDS", "50"))
AS_SERVER = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
random.seed(int(os.environ.get("SEED", "4")))
count = failed = 0


def ok(condition, name, detail=""):
    global count, failed
    count += 1
    if not condition:
        failed += 1
    print(f"{'ok' if condition else 'not ok'} {count} - {name}", flush=True)
    if not condition and detail:
        print("# " + str(detail).replace("\n", "\n# "), flush=True)


def sql(command, check=True, host=None):
    arguments = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", command]
    if host:
        arguments += ["-h", str(host)]
    run = subprocess.run(arguments, capture_output=True, text=True)
    if check and run.returncode != 0:
        raise RuntimeError(run.stderr)
    return run.stdout.strip()


def wait(condition, name, seconds=60, host=None):
    """Polls SQL until it says t, with a deadline."""
    deadline = time.monotonic() + seconds
    while sql(condition, check=False, host=host) != "t":
        if time.monotonic() > deadline:
            ok(False, name, sql("select sink, state, last_error, lag_rows from admin.worker_status", check=False, host=host))
            return False
        time.sleep(0.05)
    ok(True, name)
    return True


KAFKA = "from admin.worker_status where sink = 'kafka'"
DELIVERED = "select not exists (select from admin.audit_delivery where sink = 'kafka' and sink_status = 'pending')"
CHECK = "select admin.sensitive_check('APP-100001-abcd')"


def setting(name, value):
    sql(f"alter system set admin_ext.{name} = '{value}'")
    sql("select pg_reload_conf()")


class Broker:
    """The one that test/integration/run has started, and what became of it."""

    def __init__(self):
        self.pid, self.process = int(os.environ["KAFKA_PID"]), None
        self.directory = pathlib.Path(os.environ["KAFKA_DIR"])

    def kill(self, how=signal.SIGKILL):
        os.kill(self.pid, how)
        if how == signal.SIGKILL and self.process:
            self.process.wait()

    def start(self):
        log = self.directory / "broker.log"
        before = log.read_text(errors="replace").count("Kafka Server started")
        deadline = time.monotonic() + 60
        with open(log, "a") as out:
            self.process = subprocess.Popen(
                ["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", os.environ["KAFKA_LIBS"] + "/*", "kafka.Kafka",
                 str(self.directory / "server.properties")], stdout=out, stderr=out)
        self.pid = self.process.pid
        while log.read_text(errors="replace").count("Kafka Server started") == before:
            if time.monotonic() > deadline:
                raise TimeoutError("the broker does not start")
            time.sleep(0.1)


ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP, "log_level": 0})


def make_topic(name, partitions=3):
    ADMIN.create_topics([NewTopic(name, partitions, 1)])[name].result()


def read_topic(topic=TOPIC):
    """All committed records as (key, headers, document), partition by partition."""
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "log_level": 0, "group.id": "reader", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    partitions = list(consumer.list_topics(topic, 30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    records, ended, deadline = [], set(), time.monotonic() + 120
    while len(ended) < len(partitions):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the end of {topic} is not reached")
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            ended.add(message.partition())
        else:
            records.append((message.key().decode(), dict(message.headers() or []), json.loads(message.value())))
    consumer.close()
    return records


def compare_ledger(name, topic=TOPIC):
    expected = dict(line.split("|", 1) for line in sql("select audit_id, md5(payload::text) from admin.audit where audit_id not in "
                                                       "(select audit_id from admin.dead_letter)").splitlines())
    store = sql("select store_id from admin.store")
    seen, duplicated, foreign, misplaced, last = set(), 0, 0, 0, {}
    for key, _, event in read_topic(topic):
        if event["source"] != f"/admin_ext/{store}":
            continue
        audit_id = event["auditid"]
        duplicated += audit_id in seen
        foreign += audit_id not in expected
        seen.add(audit_id)
        if "subject" in event and "sensitive.check" not in event["type"]:
            misplaced += last.get(event["subject"], 0) >= int(audit_id)
            last[event["subject"]] = int(audit_id)
    lost = len(set(expected) - seen)
    result = f"lost {lost}, duplicated {duplicated}, foreign {foreign}, out of order {misplaced}"
    ok(result == "lost 0, duplicated 0, foreign 0, out of order 0", f"{name}: {len(expected)} rows", result)


def delivery():
    make_topic(TOPIC)
    sql("set client_min_messages = error; create extension admin_ext; select admin.create_audit_partitions()")
    sql("insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)"
        " select 'APP-00000' || n || '-k', 'pay', '{x}', 1, 'boss', '2040-01-01' from generate_series(1, 9) as n")
    sql(CHECK)
    wait(DELIVERED, "rows are delivered", 90)
    records = read_topic()
    key, headers, event = records[0]
    ok(key == event["subject"], "the key is the approval")
    ok(headers["content-type"] == b"application/cloudevents+json; charset=UTF-8", "the content type is that of CloudEvents")
    ok(event["specversion"] == "1.0" and event["type"].startswith("ptt.admin."), "the value is an event")
    compare_ledger("each row once")
    ok(sql(f"select state {KAFKA}") == "idle", "then the worker is idle")


def missing_topic():
    setting("kafka_topic", "nowhere")
    sql(CHECK)
    wait(f"select state = 'backing_off' or state = 'stopped' {KAFKA}", "a topic that is not there is a state")
    ok("nowhere" in sql(f"select last_error {KAFKA}"), "and named", sql(f"select last_error {KAFKA}"))
    setting("kafka_topic", TOPIC)
    wait(DELIVERED, "delivered when the right one is named")


def wrong_options():
    run = subprocess.run(["psql", "-Xc", "alter system set admin_ext.kafka_options = 'linger.ms=1; no value'"], capture_output=True, text=True)
    ok("Option 2" in run.stderr and "DETAIL:  Option 2" in run.stderr, "a malformed option is refused and pointed at", run.stderr)
    setting("kafka_options", "no.such.property=secret-value")
    wait(f"select last_error ~ 'no.such.property' and last_error !~ 'secret-value' {KAFKA}", "an unknown property is named, its value is not")
    setting("kafka_options", "")
    sql(CHECK)
    wait(DELIVERED, "delivered when it is gone")
    sql("create role nobody_special login")
    shown = sql("set role nobody_special; select count(*) from pg_settings where name in ('admin_ext.kafka_options', 'admin_ext.schema_registry_auth')")
    ok(shown == "0", "options are not shown to ordinary users")


def too_large():
    sql("insert into admin.audit (event_type, approval_id, payload) select 'size', 'APP-000001-k', to_json(repeat('x', n)) from unnest(array[10, 2000000, 20]) as n")
    wait("select count(*) = 1 from admin.audit_delivery where sink = 'kafka' and sink_status = 'failed'", "a record that is too large is a dead letter")
    wait(DELIVERED, "the rest goes on")
    ok("large" in sql("select error from admin.dead_letter where sink = 'kafka'"), "its error is kept")
    ok(sql(f"select dead_letters {KAFKA}") == "1", "and it is counted")
    compare_ledger("all but the dead letter")


def paused_broker(broker):
    broker.kill(signal.SIGSTOP)
    started = time.monotonic()
    sql(CHECK)
    ok(time.monotonic() - started < 2, "writers are untouched by a paused broker")
    wait(f"select state = 'backing_off' {KAFKA}", "a broker that does not answer: backing_off", 90)
    broker.kill(signal.SIGCONT)
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


def pg_ctl(action, *more, data=SCRATCH / "data"):
    subprocess.run([*AS_SERVER, f"{BIN}/pg_ctl", "-D", str(data), "-l", str(SCRATCH / "server.log"), "-w", "-t", "60", *more, action],
                   check=True, stdout=subprocess.DEVNULL, cwd=SCRATCH)


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


def kill_something(broker):
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
        broker.kill()
        broker.start()
    return kind


def ledger(broker):
    stop = threading.Event()
    writer = threading.Thread(target=write_until, args=(stop,))
    writer.start()
    killed = {}
    for _ in range(ROUNDS):
        # Somewhere in the middle of whatever goes on.
        time.sleep(random.uniform(0.05, 1.2))
        kind = kill_something(broker)
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


def main():
    broker = Broker()
    delivery()
    missing_topic()
    wrong_options()
    too_large()
    paused_broker(broker)
    fencing()
    ledger(broker)
    topic_made_anew()
    if broker.process:
        broker.process.kill()
        broker.process.wait()
    print(f"1..{count}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
