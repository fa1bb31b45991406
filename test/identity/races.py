"""Signers against each other, against withdrawals and against checks, thousands of times."""

import collections
import os
import random
import threading

from harness import Issuer, connect, done, error, ok, one, rows

ROUNDS, PEOPLE = int(os.environ.get("IDENTITY_ROUNDS", "1500")), 6
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
print(f"# seed {seed}, {ROUNDS} rounds of {PEOPLE} at once")
chance = random.Random(seed)
connection = connect()
issuer = Issuer(connection)
ROLES = ["finance", "legal", "security"]
tokens = {name: issuer.token(name, ROLES + ["operator"]) for name in ("req", "ann", "bob", "cid", "dan")}
sessions = [connect() for _ in range(PEOPLE)]
gate = threading.Barrier(PEOPLE + 1, timeout=60)
work, outcomes = [None] * PEOPLE, [[] for _ in range(PEOPLE)]

# Whatever happens: one signature a role and person, the state that they amount to, and the trail that led there.
BROKEN = """
with asked as (select %s::text as id),
     a as (select a.* from admin.approval a, asked where id is null or approval_id = id),
     s as (select approval_id, count(*) as n, count(distinct signer) as people, count(distinct signer_role) as roles,
                  bool_or(signer = 'req') as self from admin.signature, asked where id is null or approval_id = id group by approval_id),
     t as (select approval_id, count(*) filter (where event_type = 'signature.added') as added,
                  count(*) filter (where event_type = 'approval.withdrawn') as withdrawn,
                  count(*) filter (where event_type = 'approval.signed_full') as full_,
                  (array_agg(event_type order by audit_id desc) filter (where event_type like 'approval.%%'))[1] as last
           from admin.audit, asked where id is null or approval_id = id group by approval_id)
select a.approval_id, a.state, s.*, t.* from a left join s using (approval_id) left join t using (approval_id)
where s.people <> s.n or s.roles <> s.n or s.self or coalesce(s.n, 0) <> t.added
   or t.withdrawn <> (a.state = 'withdrawn')::int or t.full_ > 1
   or t.last <> case a.state when 'pending' then 'approval.issued' else 'approval.' || a.state end
   or (a.state <> 'withdrawn' and a.state <> case when coalesce(s.n, 0) = 0 then 'pending' when s.n < 3 then 'signed_partial' else 'signed_full' end)"""


def person(n):
    while True:
        gate.wait()
        if work[n] is None:
            return
        outcomes[n] = [error(sessions[n], *call) for call in work[n]]
        gate.wait()


def calls(approval):
    kind = chance.randrange(8)
    name = chance.choice(["req", "ann", "bob", "cid", "dan"])
    if kind == 0:
        return [("select admin.withdraw_approval(%s, 'race', token => %s)", approval, tokens[name])] * chance.randint(
            1, 2
        )
    if kind == 1:
        return [("select admin.sensitive_check(%s)", approval)] * 2
    if kind == 2:  # a double click
        return [("select admin.sign_approval(%s, %s, token => %s)", approval, chance.choice(ROLES), tokens[name])] * 2
    return [("select admin.sign_approval(%s, %s, token => %s)", approval, chance.choice(ROLES), tokens[name])]


threads = [threading.Thread(target=person, args=(n,), daemon=True) for n in range(PEOPLE)]
[thread.start() for thread in threads]
codes, broken, doubled, ends = collections.Counter(), [], 0, collections.Counter()
for _ in range(ROUNDS):
    approval = one(
        connection, "select admin.issue_approval('pay', %s, now() + interval '1 h', token => %s)", ROLES, tokens["req"]
    )["approval_id"]
    work[:] = [calls(approval) for _ in range(PEOPLE)]
    gate.wait()
    gate.wait()
    for done_ in outcomes:
        codes.update(code for code, _ in done_)
        doubled += len(done_) == 2 and done_[0][0] == "none" and "'already': True" in done_[1][1]
    state = rows(connection, "select state from admin.approval where approval_id = %s", approval)[0][0]
    ends[state] += 1
    broken += rows(connection, BROKEN, approval)
work[:] = [None] * PEOPLE
gate.wait()
print(f"# outcomes {dict(codes)}, ended {dict(ends)}, {doubled} double clicks answered")
ok(broken == [], "the invariants hold after each round", broken[:3])
ok(rows(connection, BROKEN, None) == [], "the invariants hold for all approvals at the end")
ok(
    set(codes) <= {"none", "23505", "42501", "55000"},
    "nothing but what is promised is raised: no deadlock, no serialization failure",
    codes,
)
ok(
    doubled > 0 and len(ends) >= 3 and codes["55000"] > 0 and codes["23505"] > 0,
    "the rounds had double clicks, refused steps and three or more end states",
    (doubled, ends, codes),
)

# The same approval issued by all of them at once.
for n in range(max(ROUNDS // 30, 5)):
    query = "select admin.issue_approval('pay', array['finance'], '2100-01-01', approval_id => %s, token => %s)"
    work[:] = [None] * PEOPLE
    answers = []
    racers = [
        threading.Thread(target=lambda s=s: answers.append(error(s, query, f"APP-{n:06d}-race", tokens["req"])[1]))
        for s in sessions
    ]
    [racer.start() for racer in racers], [racer.join() for racer in racers]
    if (
        sum("'already': False" in answer for answer in answers) != 1
        or sum("'already': True" in answer for answer in answers) != PEOPLE - 1
    ):
        ok(False, "of all sessions that issue one approval at once, one issues, the others are answered", answers)
        break
else:
    ok(True, "of all sessions that issue one approval at once, one issues, the others are answered")
unsound = rows(
    connection,
    "select a.approval_id, v.item, v.detail from admin.approval a, admin.verify_approval(a.approval_id) v where not v.fits limit 3",
)
ok(unsound == [], "verify_approval finds nothing wrong in any approval", unsound)
done()
