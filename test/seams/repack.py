"""pg_repack of every table while checks are answered and events are accepted: no row is lost.

pg_repack copies a table and collects later rows by a row trigger.  A row that fires no trigger
would be lost.
"""

import json
import os
import pathlib
import subprocess
import threading

from session import connect, done, ok, one, poll, rows

BINARIES = os.environ["PATH"].split(":")
PG_REPACK = next(
    (
        path
        for directory in [os.environ["PGBINDIR"], *BINARIES]
        if (path := pathlib.Path(directory, "pg_repack")).exists()
    ),
    "pg_repack",
)
RUNS = 2
connection = connect()
one(connection, "create extension pg_repack")
one(connection, "alter system set admin_ext.require_verified_jwt = off")


class Client(threading.Thread):
    """Calls again and again in transactions of its own, and keeps what was answered."""

    def __init__(self, query):
        super().__init__()
        self.query, self.answers, self.error, self.ended = query, [], None, threading.Event()
        self.start()

    def run(self):
        try:
            session = connect()
            while not self.ended.is_set():
                self.answers.append(one(session, self.query, f"{id(self)}-{len(self.answers)}"))
            session.close()
        except Exception as error:
            self.error = error

    def end(self):
        self.ended.set()
        self.join()
        return self.answers


def configure(databases):
    one(connection, f"alter system set admin_ext.databases = '{databases}'")
    one(connection, "select pg_reload_conf()")
    ok(
        poll(
            lambda: (
                (one(connection, "select count(*) from pg_stat_activity where backend_type = 'admin_ext worker'") > 0)
                == (databases != "")
            ),
            60,
        ),
        f"databases served: {databases or 'none'}",
    )


def repack():
    return subprocess.run(
        [PG_REPACK, "-k", "-D", "-h", os.environ["PGHOST"], "-U", "postgres", "-d", "postgres"],
        capture_output=True,
        text=True,
        timeout=300,
    )


def delivered():
    """The audit_id of each line in the files."""
    directory = pathlib.Path(os.environ["SCRATCH"], "data", "admin_ext")
    return [
        json.loads(line)["auditid"] for file in directory.glob("*-*.ndjson") for line in file.read_bytes().splitlines()
    ]


def counts():
    """Lines in the files, different lines, rows of the trail."""
    lines = delivered()
    return len(lines), len(set(lines)), one(connection, "select count(*) from admin.audit")


def is_delivered_once():
    """Each row of the trail has one line."""
    return len(set(counts())) == 1


def check_indexes(name):
    one(connection, "create extension if not exists amcheck")
    one(
        connection,
        """select count(bt_index_check(c.oid, true)) from pg_class as c join pg_index as i on i.indexrelid = c.oid join pg_am as a on a.oid = c.relam
        where c.relnamespace = 'admin'::regnamespace and c.relkind = 'i' and a.amname = 'btree'""",
    )
    ok(True, f"{name}: every index has an entry for every row")


def under_load(name):
    clients = [
        Client("select admin.sensitive_check('APP-000001-a', request_id => %s) -> 'audit' ->> 'audit_id'")
        for _ in range(2)
    ]
    clients.append(
        Client("""with e as (select %s as id) select case when (admin.audit_ingest(jsonb_build_array(jsonb_build_object('specversion', '1.0', 'id', id,
        'source', '/load', 'type', 't', 'sequence', split_part(id, '-', 2)))) ->> 'accepted') = '1' then id end from e""")
    )
    clients.append(
        Client("""select admin.issue_approval('pay', '{x}', now() + interval '1 day', null,
        'APP-000009-' || right(md5(%s), 16), 'ann') ->> 'approval_id'""")
    )
    ok(poll(lambda: all(len(client.answers) > 200 or client.error for client in clients), 60), f"{name}: the load runs")
    before = [len(client.answers) for client in clients]
    for number in range(RUNS):
        run = repack()
        ok(
            run.returncode == 0
            and 'repacking table "admin.audit_y' in run.stderr
            and 'repacking table "admin.audit_attributes"' in run.stderr,
            f"{name}: run {number + 1} repacks every table",
            run.stderr,
        )
    ok(
        all(len(client.answers) > count for client, count in zip(clients, before)),
        f"{name}: the load ran beside pg_repack",
    )
    first, second, events, approvals = [client.end() for client in clients]
    ok(not any(client.error for client in clients), f"{name}: no call failed", [client.error for client in clients])
    in_trail = {row[0] for row in rows(connection, "select audit_id::text from admin.audit")}
    missing = [answer for answer in first + second if answer not in in_trail]
    ok(not missing, f"{name}: each of {len(first + second)} answered checks has its row", missing[:5])
    stored = {
        row[0]
        for row in rows(
            connection,
            """select source_event_id from admin.audit as a join admin.audit_attributes using (audit_id)
        where a.source = '/load'""",
        )
    }
    missing = [event for event in events if event not in stored]
    ok(
        None not in events and not missing,
        f"{name}: each of {len(events)} accepted events has its row and its attributes",
        missing[:5],
    )
    issued = {
        row[0] for row in rows(connection, "select approval_id from admin.audit where event_type = 'approval.issued'")
    }
    ok(
        not [approval for approval in approvals if approval not in issued],
        f"{name}: each of {len(approvals)} approvals has its event",
    )
    ok(
        one(
            connection,
            "select count(*) from admin.audit_attributes as t where not exists (select from admin.audit as a where a.audit_id = t.audit_id)",
        )
        == 0,
        f"{name}: no attributes without their event",
    )


configure("postgres")
under_load("delivery on")
check_indexes("delivery on")
ok(poll(is_delivered_once, 60), "every row is delivered once", counts())
configure("")
under_load("delivery off")
check_indexes("delivery off")
# A table that was copied looks like one that was loaded: the worker was not there to see it.
configure("postgres")
ok(
    poll(
        lambda: one(
            connection,
            "select count(*) from admin.worker_status where sink = 'ndjson' and last_error like 'table admin.tick was loaded from a dump%'",
        ),
        60,
    ),
    "a worker that starts behind pg_repack asks for a resync",
)
one(connection, "select admin.resync_sink('ndjson', (select from_audit_id from admin.resync_proposal('ndjson')))")
ok(
    poll(lambda: len(set(delivered())) == one(connection, "select count(*) from admin.audit"), 60),
    "after the resync every row is delivered",
    counts(),
)
done()
