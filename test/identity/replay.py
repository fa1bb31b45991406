"""Thousands of recorded decisions, given while approvals were changed, decided again from the trail."""

import json
import os
import random
import threading

from harness import connect, done, error, ok, one, rows

REPLAYS = int(os.environ.get("REPLAYS", "10000"))
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
print(f"# seed {seed}")
connection = connect()
APPROVALS = 60
IDS = [f"APP-{n:06d}-replay" for n in range(APPROVALS)]
ROLES = ["finance", "legal", "security"]


def setup(session):
    one(session, "set admin_ext.require_verified_jwt = off")


def by_hand(session, insert, *arguments):
    """A row that the extension itself would not write, as a superuser who lifts the guard of the trail does."""
    one(session, "alter table admin.audit disable trigger audit_append_only")
    one(session, insert, *arguments)
    one(session, "alter table admin.audit enable always trigger audit_append_only")


setup(connection)
chance = random.Random(seed)
for n, approval in enumerate(IDS):
    roles = ROLES[: 1 + n % 3]
    one(
        connection,
        """insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
                       values (%s, 'pay', %s, %s, %s, 'req', now() + %s::interval)""",
        approval,
        "account 7" if n % 2 else None,
        roles,
        len(roles),
        chance.choice(["1 h", "3 s", "-1 h", "-24 h", "-30 h", "1 s"]),
    )
left = threading.Semaphore(REPLAYS)
asked = {}
ends = threading.Event()


def check(n):
    session, mine = connect(), random.Random(seed + n)
    while left.acquire(blocking=False):
        approval = mine.choice(IDS + ["APP-999999-none", "nonsense", None])
        action, resource = (
            mine.choice([None, None, "pay", "steal"]),
            mine.choice([None, None, "account 7", "account 8"]),
        )
        answer = one(session, "select admin.sensitive_check(%s, %s, %s)", approval, action, resource)
        asked[int(answer["audit"]["audit_id"])] = {"action": action, "resource": resource, "token": None}


def change(n):
    session, mine = connect(), random.Random(seed + 100 + n)
    setup(session)
    while not ends.is_set():
        approval = mine.choice(IDS)
        one(session, "begin")
        for _ in range(mine.randint(1, 3)):
            one(session, "savepoint s")
            kind = mine.randrange(12)
            if kind == 0:
                code, _ = error(session, "select admin.withdraw_approval(%s, 'x', 'req')", approval)
            elif kind == 1:
                code, _ = error(
                    session,
                    "update admin.approval set resource = %s where approval_id = %s",
                    mine.choice(["account 7", "account 9", None]),
                    approval,
                )
            elif kind == 2:
                code, _ = error(session, "select admin.sensitive_check(%s)", approval)
            else:
                code, _ = error(
                    session,
                    "insert into admin.signature (approval_id, signer_role, signer) values (%s, %s, %s)",
                    approval,
                    mine.choice(ROLES),
                    mine.choice("abcd"),
                )
            if code != "none" or mine.random() < 0.2:
                one(session, "rollback to s")
        one(session, mine.choice(["commit", "commit", "rollback"]))


checkers = [threading.Thread(target=check, args=(n,)) for n in range(4)]
changers = [threading.Thread(target=change, args=(n,)) for n in range(2)]
[thread.start() for thread in checkers + changers]
[thread.join() for thread in checkers]
ends.set()
[thread.join() for thread in changers]

recorded = rows(
    connection, "select audit_id from admin.audit where event_type = 'sensitive.check.2b' order by audit_id"
)
ok(len(recorded) >= REPLAYS, f"{len(recorded)} decisions are recorded")
changed = dict(
    rows(
        connection,
        "select event_type, count(*) from admin.audit where event_type in ('signature.added', 'approval.withdrawn', 'approval.altered') group by 1",
    )
)
ok(
    {"signature.added", "approval.withdrawn"} <= changed.keys(),
    "approvals were signed and withdrawn meanwhile",
    changed,
)
overlapped = one(
    connection,
    """select count(*) from admin.audit as c where c.event_type <> 'sensitive.check.2b' and c.xid > (select min(xid) from admin.audit where event_type = 'sensitive.check.2b')
                                and exists (select from admin.audit as e where e.event_type = 'sensitive.check.2b' and e.approval_id = c.approval_id and e.audit_id > c.audit_id)""",
)
ok(overlapped > 0, f"{overlapped} changes came before checks of the same approval")
reasons = rows(
    connection,
    "select payload ->> 'reason', count(*) from admin.audit where event_type = 'sensitive.check.2b' group by 1",
)
print(f"# {dict(reasons)}")
ok(len(reasons) >= 8, "at least eight different reasons are recorded", reasons)
replayed = rows(
    connection,
    "select a.audit_id, admin.replay_check(a.audit_id) from admin.audit as a where a.event_type = 'sensitive.check.2b'",
)
unequal = [row for row in replayed if not row[1]["equal"]]
in_flight = [row for row in replayed if "in_flight" in row[1]]
print(f"# {len(in_flight)} of them without what was in flight")
ok(unequal == [], "the replay of each recorded check is equal, byte for byte", unequal[:2])
ok(
    all(row[1]["recorded"] == row[1]["replayed"] for row in replayed),
    "each replay shows the recorded answer and an equal replayed one",
)
ok(
    len(asked) >= REPLAYS and all(row[1]["request"] == asked[row[0]] for row in replayed if row[0] in asked),
    "each replay shows the question that was asked",
)
explained = rows(
    connection,
    """select count(*) from admin.audit a, lateral admin.explain_replay(a.audit_id) e
                                where a.event_type = 'sensitive.check.2b' and e.matched and e.precedence <> (a.payload #>> '{meta,precedence}')::int""",
)
ok(explained == [(0,)], "explain_replay names the rule that decided", explained)

# In flight: told apart from what had committed.
one(
    connection,
    "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-888888-open', 'pay', '{finance}', 1, 'req', now() + interval '1 h')",
)
other = connect()
setup(other)
one(other, "begin")
one(other, "select admin.sign_approval('APP-888888-open', 'finance', 'ann')")
flown = one(connection, "select admin.sensitive_check('APP-888888-open')")["audit"]["audit_id"]
one(other, "commit")
answer = one(connection, "select admin.replay_check(%s)", flown)
ok(
    answer["equal"] and "in_flight" in answer,
    "a signature that had not committed was not seen, and the replay says so",
    answer,
)
seen = one(connection, "select admin.sensitive_check('APP-888888-open')")["audit"]["audit_id"]
answer = one(connection, "select admin.replay_check(%s)", seen)
ok(
    answer["equal"] and "in_flight" not in answer,
    "a signature that had committed was seen, and the replay has nothing in flight",
    answer,
)
one(connection, "begin")
one(connection, "select admin.withdraw_approval('APP-888888-open', 'x', 'req')")
own = one(connection, "select admin.sensitive_check('APP-888888-open')")["audit"]["audit_id"]
one(connection, "commit")
answer = one(connection, "select admin.replay_check(%s)", own)
ok(
    answer["equal"] and answer["replayed"]["reason"] == "approval_withdrawn" and "in_flight" not in answer,
    "the caller's own changes are seen",
    answer,
)

# Overlooked: a withdrawal that an earlier check has seen was committed, and is not left out.
one(
    connection,
    "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-777777-seen', 'pay', '{finance}', 1, 'req', now() + interval '1 h')",
)
one(connection, "select admin.sign_approval('APP-777777-seen', 'finance', 'ann')")
valid = one(
    connection,
    "select admin.replay_check(%s)",
    one(connection, "select admin.sensitive_check('APP-777777-seen')")["audit"]["audit_id"],
)["recorded"]
one(connection, "select admin.withdraw_approval('APP-777777-seen', 'x', 'req')")
one(connection, "select admin.sensitive_check('APP-777777-seen')")
late = one(connection, "select nextval('admin.audit_audit_id_seq')")
overlooked = json.dumps(
    {
        **valid,
        "evaluated_at": one(
            connection, "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        ),
        "audit": {**valid["audit"], "audit_id": str(late)},
    },
    separators=(",", ":"),
)
by_hand(
    connection,
    "insert into admin.audit (audit_id, event_type, approval_id, payload) overriding system value values (%s, 'sensitive.check.2b', 'APP-777777-seen', %s)",
    late,
    overlooked,
)
answer = one(connection, "select admin.replay_check(%s)", late)
ok(
    not answer["equal"] and answer["replayed"]["reason"] == "approval_withdrawn",
    "an overlooked withdrawal is not explained away",
    answer,
)

# What the trail does not have it does not decide.
for name, event in (("nothing", None), ("a later change first", "approval.withdrawn")):
    lost = f"APP-666666-{'a' if event is None else 'b'}"
    if event:
        by_hand(
            connection,
            "insert into admin.audit (event_type, approval_id, payload) values (%s, %s, %s)",
            event,
            lost,
            json.dumps({"op": "UPDATE", "changed": {}, "row": {"approval_id": lost}}),
        )
    late = one(connection, "select nextval('admin.audit_audit_id_seq')")
    by_hand(
        connection,
        "insert into admin.audit (audit_id, event_type, approval_id, payload) overriding system value values (%s, 'sensitive.check.2b', %s, %s)",
        late,
        lost,
        json.dumps({**valid, "approval_id": lost}),
    )
    code, text = error(connection, "select admin.replay_check(%s)", late)
    ok(
        code == "55000" and "does not reach back" in text,
        f"a trail that begins with {name} is an error",
        f"{code} {text}",
    )
by_hand(connection, "insert into admin.audit (event_type, payload) values ('sensitive.check.2b', '{}')")
code, text = error(
    connection, "select admin.replay_check(max(audit_id)) from admin.audit where event_type = 'sensitive.check.2b'"
)
ok(code == "55000" and "not an answer of the contract" in text, "a row that is no answer is an error", f"{code} {text}")

# Forgeries: a decision that the trail does not bear out is shown for what it is.
forged = json.dumps(
    {**one(connection, "select admin.replay_check(%s)", own)["recorded"], "decision": "valid", "reason": None},
    separators=(",", ":"),
)
by_hand(
    connection,
    "insert into admin.audit (audit_id, event_type, approval_id, payload) overriding system value values (nextval('admin.audit_audit_id_seq'), 'sensitive.check.2b', 'APP-888888-open', %s)",
    forged,
)
answer = one(
    connection, "select admin.replay_check(max(audit_id)) from admin.audit where event_type = 'sensitive.check.2b'"
)
ok(
    not answer["equal"] and answer["recorded"]["decision"] == "valid" and answer["replayed"]["decision"] == "deny",
    "a forged decision differs",
    answer,
)
for audit_id, code in ((0, "P0002"), (-1, "P0002"), (9223372036854775807, "P0002"), (1, "P0002")):
    ok(
        error(connection, "select admin.replay_check(%s)", audit_id)[0] == code,
        f"replay_check({audit_id}) finds no check",
    )
    ok(
        error(connection, "select admin.explain_replay(%s)", audit_id)[0] == code,
        f"explain_replay({audit_id}) finds no check",
    )
ok(one(connection, "select admin.replay_check(null)") is None, "replay_check answers null for null")
done()
