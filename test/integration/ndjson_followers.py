"""Who follows the NDJSON files by offset misses no row over a crash; speaks TAP.

The followers are GNU tail and rsyslog's imfile, both polling, and pygtail: all remember how far they have read, and notice
nothing of bytes that are replaced by as many others.  A crash between the write and the record of the position makes the worker
write other bytes: rows that became visible meanwhile come in between.
"""

import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

import psycopg2
import pygtail
from common import AS_SERVER, CHECK, SCRATCH, main, ok, poll, setting, sql, wait

FILES = SCRATCH / "data/admin_ext/*-*.ndjson"
ROUNDS = 5
NDJSON = "from admin.worker_status where sink = 'ndjson' and database = current_database()"
DELIVERED = "select not exists (select from admin.audit_delivery where sink_status = 'pending')"


def key(line):
    event = json.loads(line)
    return event["source"], event["id"]


class Tail:
    """One process for each file, as soon as it is there."""

    def __init__(self):
        self.keys, self.processes = [], {}

    def look(self):
        for file in set(glob.glob(str(FILES))) - set(self.processes):
            self.processes[file] = subprocess.Popen(
                ["tail", "-n", "+1", "-F", "-s", "0.2", "---disable-inotify", file],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            threading.Thread(target=self.read, args=(self.processes[file],), daemon=True).start()
        return set(self.keys)

    def read(self, process):
        for line in process.stdout:
            self.keys.append(key(line))

    def close(self):
        for process in self.processes.values():
            process.kill()


class Pygtail:
    """Begins where it ended, as a job that runs every minute."""

    def __init__(self):
        self.keys, self.offsets = [], pathlib.Path(tempfile.mkdtemp())

    def look(self):
        for file in glob.glob(str(FILES)):
            for line in pygtail.Pygtail(file, offset_file=str(self.offsets / pathlib.Path(file).name)):
                self.keys.append(key(line))
        return set(self.keys)

    def close(self):
        pass


class Rsyslog:
    """A process of our own as the server's user, with its own configuration; the system's service is left alone."""

    CONFIG = """
global(workDirectory="{home}" maxMessageSize="1m")
module(load="imfile" mode="polling" pollingInterval="1")
template(name="line" type="string" string="%msg%\\n")
input(type="imfile" file="{files}" tag="admin_ext" reopenOnTruncate="on")
action(type="omfile" file="{home}/lines" template="line")
"""

    def __init__(self):
        self.home = SCRATCH / "rsyslog"
        self.home.mkdir()
        (self.home / "rsyslog.conf").write_text(self.CONFIG.format(home=self.home, files=FILES))
        if AS_SERVER:
            shutil.chown(self.home, "postgres")
        command = ["rsyslogd", "-n", "-f", str(self.home / "rsyslog.conf"), "-i", str(self.home / "pid")]
        with open(SCRATCH / "rsyslog.log", "w") as log:
            self.process = subprocess.Popen([*AS_SERVER, *command], stdout=log, stderr=log)

    def look(self):
        lines = self.home / "lines"
        return {key(line) for line in lines.read_text().splitlines()} if lines.exists() else set()

    def close(self):
        os.kill(int((self.home / "pid").read_text()), signal.SIGTERM)
        self.process.wait(20)


FOLLOWERS = {"tail": Tail(), "pygtail": Pygtail(), "rsyslog": Rsyslog()}


def trail():
    source = "/admin_ext/" + sql("select store_id from admin.store")
    return {(source, audit_id) for audit_id in sql("select audit_id from admin.audit").split()}


def has_read(name, where, wanted=None):
    wanted = wanted or trail()
    ok(
        poll(lambda: not wanted - FOLLOWERS[name].look(), 60),
        f"{name}: {where}",
        sorted(wanted - FOLLOWERS[name].look())[:5],
    )


def session():
    return psycopg2.connect(f"host={SCRATCH} dbname=postgres user=postgres")


def lines():
    return [key(line) for file in glob.glob(str(FILES)) for line in open(file)]


def begin():
    sql("set client_min_messages = error; create extension admin_ext; select admin.create_audit_partitions()")
    sql(CHECK)
    wait(DELIVERED, "the first row is delivered")
    for name in FOLLOWERS:
        has_read(name, "has read the first row")


def read_unrecorded(what):
    """A row is in the file, and followers have read it; its position is locked."""
    sql(CHECK)
    newest = ("/admin_ext/" + sql("select store_id from admin.store"), sql("select max(audit_id) from admin.audit"))
    poll(lambda: newest in lines(), 60)
    for name in FOLLOWERS:
        has_read(name, what, {newest})


def end_worker(locker, before):
    """The worker dies after something else was committed; then the lock is given up, and the next worker goes on."""
    pid = sql(f"select pid {NDJSON}")
    before()
    sql(f"select pg_terminate_backend({pid})")
    poll(lambda: sql("select count(*) from pg_stat_activity where pid = " + pid) == "0", 60)
    locker.rollback()
    locker.close()
    wait(DELIVERED, "the next worker delivers")
    for name in FOLLOWERS:
        has_read(name, "has every row after the crash")


def crashes():
    """A batch is in the file, followers have read it, and the worker dies before the position is recorded."""
    for _ in range(ROUNDS):
        writer, locker = session(), session()
        writer.cursor().execute(CHECK)  # draws its number, and is open
        locker.cursor().execute("lock table admin.sink_position in share mode")
        read_unrecorded("reads a line that is not recorded")
        end_worker(locker, writer.commit)
        writer.close()


def crashes_of_the_first_batch():
    """The same where the file was begun for the batch."""
    setting("ndjson_rotate_size", "1kB")
    for _ in range(ROUNDS):
        crashes_with_rotation()
    sql("alter system reset admin_ext.ndjson_rotate_size")
    sql("select pg_reload_conf()")


def crashes_with_rotation():
    sql("select admin_internal.append_event('filler', to_json(repeat('x', 2000)))")
    wait(DELIVERED, "a file is full")
    locker = session()
    locker.cursor().execute("lock table admin.sink_position in share mode")
    read_unrecorded("reads the first line of a file")
    end_worker(locker, lambda: sql(CHECK))


def at_last():
    found = lines()
    ok(
        len(found) == len(set(found)) and set(found) == trail(),
        "the files have every row once",
        (len(found), len(set(found)), len(trail())),
    )


def close_followers():
    for follower in FOLLOWERS.values():
        follower.close()


if __name__ == "__main__":
    main(begin, crashes, crashes_of_the_first_batch, at_last, at_end=close_followers)
