"""What the tests of all sinks share: TAP, SQL, the server, its settings and its end.

A test is a function; main() runs those of a file in order and prints the plan.  The server
was started by the script that runs the tests, which ends it.
"""

import os
import pathlib
import random
import re
import signal
import subprocess

from tap import end, ok, poll

BIN = os.environ["PGBINDIR"]
SCRATCH = pathlib.Path(os.environ["SCRATCH"])
AS_SERVER = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
SERVER_ENVIRONMENT = os.environ.get("SERVER_ENVIRONMENT", "").split()
random.seed(int(os.environ.get("SEED", "4")))


def sql(command, check=True, host=None):
    arguments = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", command]
    if host:
        arguments += ["-h", str(host)]
    # What hangs fails.
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    if check and run.returncode != 0:
        raise RuntimeError(run.stderr)
    return run.stdout.strip()


def expect(condition, what, seconds=60):
    """That a test cannot go on without."""
    if not poll(condition, seconds):
        raise TimeoutError(f"it does not come about that {what}")


def send_signal(pid, which):
    """False: the process has ended meanwhile."""
    try:
        os.kill(int(pid), which)
    except ProcessLookupError:
        return False
    return True


def kill_worker(sink):
    """The server restarts all its processes then."""
    pid = sql(
        f"select pid from admin.worker_status where sink = '{sink}' and database = current_database() and pid is not null",
        check=False,
    )
    checkpointer = "select pid from pg_stat_activity where backend_type = 'checkpointer'"
    before = sql(checkpointer, check=False)
    if not pid or not before:
        return
    if send_signal(pid, signal.SIGKILL):
        expect(lambda: sql(checkpointer, check=False) not in ("", before), "the server comes back")


def wait(condition, name, seconds=60, host=None):
    """Polls SQL until it says t, with a deadline."""
    holds = poll(lambda: sql(condition, check=False, host=host) == "t", seconds)
    ok(
        holds,
        name,
        ""
        if holds
        else sql("select sink, state, last_error, lag_rows from admin.worker_status", check=False, host=host),
    )
    return holds


CHECK = "select admin.sensitive_check('APP-100001-abcd')"


def state_changes(sink):
    """Lines of the server's log that report another state of the sink."""
    log = (SCRATCH / "server.log").read_text(errors="replace")
    return len(re.findall(f'to sink "{sink}" (?:is|works)', log))


def block(page, language):
    """What a page has in this language, as it stands there."""
    return re.search(rf"^```{language}\n(.*?)^```", page, re.S | re.M).group(1)


def hides(has_secret):
    """Neither the log nor what others may read shows a secret; makes the role reader, an auditor."""
    leaks = [line for line in (SCRATCH / "server.log").read_text(errors="replace").splitlines() if has_secret(line)]
    ok(not leaks, "no secret in the log", "\n".join(leaks[:5]))
    sql("create role reader login; select admin.grant_access('reader', 'auditor')")
    ok(
        not has_secret(sql("set role reader; select s::text from admin.worker_status as s")),
        "worker_status shows no secret to an auditor",
    )
    ok(
        not has_secret(sql("set role reader; select s::text from pg_settings as s")),
        "pg_settings shows no secret to an auditor",
    )


def setting(name, value):
    settings(**{name: value})


def settings(**values):
    """All of them by one reload."""
    for name, value in values.items():
        sql(f"alter system set admin_ext.{name} = '{value}'")
    sql("select pg_reload_conf()")


def pg_ctl(action, *more, data=SCRATCH / "data"):
    subprocess.run(
        [
            *AS_SERVER,
            "env",
            *SERVER_ENVIRONMENT,
            f"{BIN}/pg_ctl",
            "-D",
            str(data),
            "-l",
            str(SCRATCH / "server.log"),
            "-w",
            "-t",
            "60",
            *more,
            action,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=SCRATCH,
    )


def main(*tests, at_end=lambda: None):
    """Runs the tests in order; whatever one of them raises is a failure, and the last."""
    try:
        for test in tests:
            test()
    except Exception as error:
        ok(False, f"{test.__name__} comes to its end", repr(error))
    at_end()
    end()
