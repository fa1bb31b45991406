"""A sweep of many approvals beside people who withdraw some of them: nobody waits long, nothing is announced twice."""

import os
import random
import statistics
import threading
import time

from session import connect, done, ok, one, poll, rows

COUNT = int(os.environ.get("COUNT", "30000"))
ID = "'APP-' || lpad({}::text, 6, '0') || '-w'"
connection = connect()
one(
    connection,
    f"""insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
    select {ID.format("n")}, 'pay', '{{r}}', 1, 'boss', now() - interval '1 hour' + n * interval '1 microsecond' from generate_series(1, {COUNT}) as n""",
)
swept, waits, over = [], [], threading.Event()


def sweeper():
    session = connect()
    while True:
        announced = one(session, "select admin.sweep_expired()")
        swept.append(announced)
        if announced == 0:
            break
    over.set()


def withdrawer():
    session, chance = connect(), random.Random(7)
    while not over.is_set():
        # Near the front of what is being swept.
        due = one(
            session,
            "select approval_id from admin.sweep_due where ttl_state = 'expired' order by due_at offset %s limit 1",
            chance.randrange(2000),
        )
        started = time.monotonic()
        one(
            session,
            "update admin.approval set state = 'withdrawn', closed_at = now() where approval_id = %s and state <> 'withdrawn'",
            due,
        )
        waits.append(1000 * (time.monotonic() - started))


threads = [threading.Thread(target=sweeper), threading.Thread(target=sweeper), threading.Thread(target=withdrawer)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
waits.sort()
print(
    f"# {len(swept)} sweeps, {len(waits)} withdrawals: median {statistics.median(waits):.1f} ms, p99 {waits[int(len(waits) * 0.99)]:.1f} ms, worst {waits[-1]:.1f} ms"
)
ok(len(waits) > 10, "people withdraw approvals during the sweep")
ok(
    any(0 < announced < 10000 and announced != swept[-1] for announced in swept[:-1]),
    "sweeps end early for who waits",
    swept,
)
ok(
    poll(lambda: one(connection, "select due_rows from admin.sweep_status") == 0, 60),
    "an approval that a sweep skipped is announced later",
)
twice = rows(
    connection,
    "select approval_id, event_type, count(*) from admin.audit where event_type in ('approval.expired', 'approval.stale') group by 1, 2 having count(*) > 1",
)
ok(twice == [], "nothing is announced twice", twice[:3])
ok(
    one(
        connection,
        "select count(*) from admin.approval as a where state <> 'withdrawn' and not exists (select from admin.audit as e where e.approval_id = a.approval_id and event_type = 'approval.expired')",
    )
    == 0,
    "every approval that was not withdrawn is announced",
)
late = one(
    connection,
    "select count(*) from admin.audit as e join admin.audit as w using (approval_id) where w.event_type = 'approval.withdrawn' and e.event_type = 'approval.expired' and e.audit_id > w.audit_id",
)
ok(late == 0, "no approval is announced as expired after its withdrawal")
done()
