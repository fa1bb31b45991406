"""Steps that wait for a lock: what is refused after the wait is refused then."""

import threading
import time

from harness import ISSUER, connect, done, error, ok, one, poll, rows
from steps import SIGN, connection, issuer


def let_it_wait(session, thread):
    """Until the session waits for a lock, or the thread that uses it has come to its end."""
    poll(
        lambda: (
            rows(connection, "select wait_event_type from pg_stat_activity where pid = %s", session.get_backend_pid())
            == [("Lock",)]
            or not thread.is_alive()
        ),
        60,
    )


def let_it_pass(approval_id):
    """The approval's deadline."""
    poll(
        lambda: one(
            connection,
            "select clock_timestamp() > sla_deadline from admin.approval where approval_id = %s",
            approval_id,
        ),
        60,
    )


# Waiting for a lock takes time: what is refused after it is refused then.
one(connection, "set admin_ext.require_verified_jwt = on")
for name, lasting, reason in (
    ("the deadline", "1.5 s", "after its deadline"),
    ("the token", "1 h", "it has expired"),
    ("the key", "1 h", "revoked"),
):
    waited = one(
        connection,
        "select admin.issue_approval('pay', array['finance'], now() + %s::interval, token => %s)",
        lasting,
        issuer.token("req"),
    )["approval_id"]
    holder, waiter = connect(), connect()
    one(holder, "begin")
    one(holder, "select from admin.approval where approval_id = %s for update", waited)
    outcome, expires = [], time.time() + (2 if name == "the token" else 60)
    shown = issuer.token(algorithm="ES384", exp=expires)
    thread = threading.Thread(target=lambda: outcome.append(error(waiter, SIGN, waited, "finance", shown)))
    thread.start()
    let_it_wait(waiter, thread)
    if name == "the key":
        one(connection, f"select admin.revoke_jwt_key('{ISSUER}', 'ES384')")
    elif name == "the token":
        poll(lambda: time.time() > expires, 60)
    else:
        let_it_pass(waited)
    one(holder, "rollback")
    thread.join()
    ok(
        outcome[0][0] != "none" and reason in outcome[0][1],
        f"{name} has not outlasted the wait for the approval",
        outcome,
    )
one(connection, "set admin_ext.require_verified_jwt = off")

# A token for one use that somebody else holds: what was looked at is looked at once more.
one(connection, "set admin_ext.require_verified_jwt = on")
one(connection, "select admin.set_jwt_one_use(%s)", ISSUER)
first, second = (
    one(
        connection,
        "select admin.issue_approval('pay', array['finance'], now() + interval '1.5 s', token => %s)",
        issuer.token("req", jti=f"w{n}"),
    )["approval_id"]
    for n in range(2)
)
holder, waiter, shared, outcome = connect(), connect(), issuer.token(jti="shared"), []
one(holder, "begin")
one(holder, SIGN, first, "finance", shared)
thread = threading.Thread(target=lambda: outcome.append(error(waiter, SIGN, second, "finance", shared)))
thread.start()
let_it_wait(waiter, thread)
let_it_pass(second)
one(holder, "rollback")
thread.join()
ok(
    outcome[0][0] == "55000" and "after its deadline" in outcome[0][1],
    "the deadline has not outlasted the wait for a token",
    outcome,
)
one(connection, "select admin.set_jwt_one_use(%s, false)", ISSUER)
one(connection, "set admin_ext.require_verified_jwt = off")
done()
