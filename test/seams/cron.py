"""The sweep by pg_cron: scheduled, rescheduled, edited, forbidden, with its role dropped; and from another database."""

import re

from session import connect, done, error, ok, one, poll, rows

MINUTE = 200  # a job runs at the next full minute, or at the one after it, if pg_cron has not read of it in time
connection = connect()
number = 0


def due(session, count=1):
    """So many approvals, past their deadline; what they begin with."""
    global number
    number += 1
    one(
        session,
        f"""insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
        select 'APP-{number:02d}' || lpad(n::text, 4, '0') || '-c', 'pay', '{{r}}', 1, 'boss', now() - interval '1 hour' from generate_series(1, {count}) as n""",
    )
    return f"APP-{number:02d}"


def announced(session, prefix):
    return one(
        session,
        "select count(*) from admin.audit where event_type = 'approval.expired' and approval_id like %s",
        prefix + "%",
    )


def status(session=connection):
    return rows(session, "select swept_by, schedule, problem from admin.sweep_status")[0]


def by_worker(name, problem):
    swept_by, _, said = status()
    ok(swept_by == "worker" and re.search(problem, said or "none"), f"{name}: the status says so", (swept_by, said))
    prefix = due(connection)
    ok(poll(lambda: announced(connection, prefix) == 1, 60), f"{name}: the worker sweeps")


one(connection, "alter system set admin_ext.sweep_interval = '1s'")
one(connection, "select pg_reload_conf()")
ok(poll(lambda: status()[0] == "worker", 60), "without pg_cron the worker sweeps")
ok(
    one(connection, "select admin.schedule_sweep()") == "worker"
    and "pg_cron is not installed" in connection.notices[-1],
    "without pg_cron schedule_sweep says that the worker sweeps",
    connection.notices,
)

ok(
    "Run CREATE EXTENSION pg_cron" in connection.notices[-1],
    "without pg_cron schedule_sweep says how to install it",
    connection.notices[-1],
)
one(connection, "create extension pg_cron")
one(connection, "create role op login; select admin.grant_access('op', 'operator')")
operator = connect("op")
state, text = error(operator, "select admin.schedule_sweep()")
ok(
    state == "42501" and "grant usage on schema cron to op" in text,
    "an operator needs USAGE of the schema cron, and is told so",
    text,
)
one(connection, "grant usage on schema cron to op")
ok(
    error(operator, "select admin.schedule_sweep('every now and then')")[0] == "22023",
    "a schedule that pg_cron does not take is refused",
    error(operator, "select admin.schedule_sweep('every now and then')"),
)
ok(one(operator, "select admin.schedule_sweep('0 3 * * *')") == "pg_cron", "schedule_sweep makes a job of pg_cron")
ok(
    one(operator, "select admin.schedule_sweep()") == "pg_cron" and status() == ("pg_cron", "* * * * *", None),
    "schedule_sweep gives the job another schedule",
    status(),
)
ok(
    rows(connection, "select jobname, username, database, active from cron.job")
    == [("admin_ext sweep of postgres", "op", "postgres", True)],
    "pg_cron has one job, which is the operator's",
)

# More than it does in one transaction; the worker, who would be there every second, leaves them to it.
prefix = due(connection, 2500)
ran = "select count(*) from cron.job_run_details where status in ('running', 'succeeded')"
ok(poll(lambda: announced(connection, prefix) == 2500, MINUTE), "pg_cron announces what is due", status())
ok(
    one(connection, ran) > 0
    and one(
        connection,
        "select count(distinct xid) from admin.audit where event_type = 'approval.expired' and approval_id like %s",
        prefix + "%",
    )
    == 3,
    "pg_cron sweeps in three transactions, and the worker does not take part",
    rows(connection, "select xid::text, count(*) from admin.audit where event_type = 'approval.expired' group by 1"),
)
ok(
    poll(lambda: rows(connection, "select distinct status from cron.job_run_details") == [("succeeded",)], 60),
    "each run of the job succeeds",
    rows(connection, "select status, return_message from cron.job_run_details"),
)

job = one(connection, "select jobid from cron.job")
one(connection, "select cron.alter_job(%s, active => false)", job)
by_worker("a job that is not active", f"job {job} of pg_cron does not sweep: it is not active")
ok(
    one(operator, "select admin.schedule_sweep()") == "pg_cron",
    "schedule_sweep mends a job that is not active",
    status(),
)
one(connection, "select cron.alter_job((select jobid from cron.job), command => 'select 1')")
by_worker("a job that does something else", "its command does not call")
ok(
    one(operator, "select admin.schedule_sweep()") == "pg_cron"
    and one(connection, "select count(*) from cron.job") == 1,
    "schedule_sweep mends a job that does something else",
    status(),
)
one(connection, "revoke execute on function admin.sweep_expired(int) from op")
by_worker("a job whose role may not sweep", "may not call")
one(connection, "grant execute on function admin.sweep_expired(int) to op")
ok(status()[0] == "pg_cron", "pg_cron sweeps again when the job's role may", status())

# From another database: what the warning says, done there.
one(connection, "create database other")
other = connect(dbname="other")
one(other, "set client_min_messages = error; create extension admin_ext")
one(other, "set client_min_messages = warning")
ok(
    one(other, "select admin.schedule_sweep()") == "nobody",
    "schedule_sweep answers nobody where pg_cron is in another database and no worker is here",
)
database, statement = re.search(r'In database "(\w+)", run: (select .*)', other.notices[-1]).groups()
ok(database == "postgres", "the warning names the database of pg_cron and what to run there", other.notices[-1])
one(connection, statement)
elsewhere = due(other)
# At the same full minute: a job that cannot log in.
one(connection, "alter role op nologin")
prefix = due(connection)
ok(
    poll(lambda: announced(other, elsewhere) == 1, MINUTE),
    "a job in the database of pg_cron sweeps another database",
    rows(connection, "select command, status, return_message from cron.job_run_details"),
)
ok(poll(lambda: announced(connection, prefix) == 1, MINUTE), "a job that fails: the worker sweeps after all", status())
ok("its last run failed" in (status()[2] or ""), "a job that fails: the status says that its last run failed", status())
operator.close()
one(connection, "drop owned by op; drop role op")
by_worker("a job whose role was dropped", 'its role "op" does not exist')
ok(
    one(connection, "select admin.unschedule_sweep()") == "worker"
    and rows(connection, "select jobid from cron.job where database = 'postgres'") == [],
    "unschedule_sweep removes the job, and the worker sweeps",
    status(),
)
ok(one(connection, "select admin.unschedule_sweep()") == "worker", "unschedule_sweep without a job answers as before")
one(other, "select admin.unschedule_sweep()")
one(connection, re.search(r"run: (select .*)", other.notices[-1]).group(1))
ok(
    one(connection, "select count(*) from cron.job") == 0,
    "the other database's job is removed by what the warning says to run",
)
one(connection, "select admin.schedule_sweep()")
one(connection, "drop extension pg_cron")
by_worker("pg_cron dropped", "^none$")
twice = rows(
    connection,
    "select approval_id, event_type from admin.audit where event_type in ('approval.expired', 'approval.stale') group by 1, 2 having count(*) > 1",
)
ok(twice == [], "the worker and pg_cron have announced nothing twice", twice)
done()
