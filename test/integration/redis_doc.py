"""What doc/redis.md says to subscribers and operators, tried as it stands there; speaks TAP."""

import atexit
import pathlib
import re
import signal
import subprocess
import sys
import threading

from common import SCRATCH, block, expect, ok, poll, setting, settings, sql, wait
from redis_harness import DELIVERED, PORT, REDIS, SERVER, URL, connect, create_extension, issue, main, sign

PAGE = (pathlib.Path(__file__).parents[2] / "doc/redis.md").read_text()
SUBSCRIBER = None


class Running:
    """The page's subscriber in a process of its own, and the lines that it prints."""

    def __init__(self):
        program = SCRATCH / "subscriber.py"
        program.write_text(block(PAGE, "python"))
        self.lines = []
        self.errors = open(SCRATCH / "subscriber.err", "w+")
        self.process = subprocess.Popen(
            [
                sys.executable,
                program,
                f"redis://sub:sub@127.0.0.1:{PORT}",
                f"host={SCRATCH} dbname=postgres user=reader",
            ],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        atexit.register(self.process.kill)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            self.lines.append(line.split())

    def last_of(self, approval):
        return [line for line in self.lines if line[1] == approval][-1:]

    def knows(self, name, approval, ttl, how):
        """By hearing it, or by asking."""
        newest = sql(
            f"select max(audit_id) from admin.audit where approval_id = '{approval}' and event_type like 'approval.%'"
        )
        ok(
            poll(lambda: self.last_of(approval) == [[how, approval, newest, ttl]], 60),
            name,
            [self.last_of(approval), self.process.poll(), pathlib.Path(self.errors.name).read_text()],
        )


def rules_of(who):
    rules = re.search(rf"^\| {who} \| `([^`]+)`", PAGE, re.M).group(1)
    return rules.replace("\\|", "|").replace("~stream", "~approvals").split()


def begin():
    """Worker and subscriber have the rights that the page names, and no others."""
    global SUBSCRIBER
    SERVER.start()
    connect().execute_command("ACL", "SETUSER", "app", "reset", "on", ">app", *rules_of("the worker's user"))
    connect().execute_command("ACL", "SETUSER", "sub", "reset", "on", ">sub", *rules_of("a subscriber"))
    connect().execute_command("ACL", "SAVE")
    create_extension()
    sql("create role reader login; select admin.grant_access('reader', 'auditor')")
    settings(redis_url=URL.replace("//", "//app:app@"), redis_stream="approvals")
    wait(f"select state = 'idle' {REDIS}", "the worker is let in by the rules of the page")
    SUBSCRIBER = Running()
    expect(lambda: "approval_ttl_refresh" in str(connect().pubsub_channels()), "the page's subscriber subscribes")


def hears():
    approval = issue(1)
    sign(approval, 1, 2)
    SUBSCRIBER.knows("the subscriber of the page hears of a signature", approval, "valid", "heard")
    ok(connect().xlen("approvals") == 3, "the stream has three messages of an approval that was signed twice")


def misses():
    """Redis is away, and forgets who was to be told: the database knows."""
    other = issue(2)
    SUBSCRIBER.knows("the subscriber hears of another approval", other, "not-applicable", "heard")
    SERVER.kill()
    sql(
        "update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'boss', close_reason = 'no more' where approval_id = 'APP-000001-k'"
    )
    wait(f"select state = 'backing_off' {REDIS}", "an approval is withdrawn while Redis is down")
    setting("redis_url", "redis://127.0.0.1:1")
    wait(
        f"select state = 'backing_off' and last_error ~ ':1:' {REDIS}",
        "the worker backs off at an address where no Redis listens",
    )
    SERVER.start()
    SUBSCRIBER.knows("the subscriber asks when it is let in again", "APP-000001-k", "not-applicable", "asked")
    settings(redis_url=URL.replace("//", "//app:app@"))
    wait(DELIVERED, "a withdrawal from the time without Redis is delivered late")
    sign(other, 1, 2)
    SUBSCRIBER.knows("the subscriber hears of a signature after a late message", other, "valid", "heard")
    ok(
        SUBSCRIBER.last_of("APP-000001-k")[0][0] == "asked" and SUBSCRIBER.process.poll() is None,
        "the subscriber ignores a late message",
        SUBSCRIBER.lines,
    )


def falls_silent():
    """A connection that only looks as if it were there."""
    lost = sum(line[0] == "lost" for line in SUBSCRIBER.lines)
    SERVER.kill(signal.SIGSTOP)
    ok(
        poll(lambda: sum(line[0] == "lost" for line in SUBSCRIBER.lines) > lost, 60),
        "the subscriber notices that Redis has fallen silent",
        SUBSCRIBER.lines[-3:],
    )
    sql(
        "update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'boss', close_reason = 'no more' where approval_id = 'APP-000002-k'"
    )
    SERVER.kill(signal.SIGCONT)
    newest = sql(
        "select max(audit_id) from admin.audit where approval_id = 'APP-000002-k' and event_type like 'approval.%'"
    )
    ok(
        poll(lambda: [line[2:] for line in SUBSCRIBER.last_of("APP-000002-k")] == [[newest, "not-applicable"]], 60),
        "the subscriber knows what changed while Redis was silent, heard or asked",
        SUBSCRIBER.lines[-5:],
    )


def query():
    """The page's query, as it stands there."""
    answer = sql(
        "set role reader; prepare reconcile as "
        + block(PAGE, "sql")
        + " execute reconcile(array['APP-000001-k', 'APP-000002-k', 'APP-999999-k'])"
    )
    rows = sorted(line.split("|") for line in answer.splitlines())
    newest = sql(
        "select max(audit_id) from admin.audit where event_type like 'approval.%' and approval_id = 'APP-000002-k'"
    )
    ok([row[5] for row in rows] == [sql("select store_id from admin.store")] * 2, "the query says which store", rows)
    ok(
        [row[:3] for row in rows]
        == [["APP-000001-k", "withdrawn", "not-applicable"], ["APP-000002-k", "withdrawn", "not-applicable"]]
        and rows[1][4] == newest,
        "the query answers",
        rows,
    )


def who_sees_the_url():
    sql("create role reads_settings; grant pg_read_all_settings to reads_settings; create role nobody_special")
    shown = "set role {}; select count(*) from pg_settings where name = 'admin_ext.redis_url'"
    ok(
        sql(shown.format("reads_settings")) == "1" and sql(shown.format("nobody_special")) == "0",
        "the URL is shown to whom the page says",
    )


if __name__ == "__main__":
    main(begin, hears, misses, falls_silent, query, who_sees_the_url)
