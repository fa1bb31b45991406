"""Stores that go on being written, caught up with: against a model, and by several sessions at once.

A history is what happens to one approval: it is asked for, people sign, perhaps somebody withdraws.
A document tells some point of it; the furthest that was ever told is what has to be there.
"""

import contextlib
import json
import os
import random
import threading

from session import connect, done, ok, one, rows

SEED = int(os.environ.get("SEED", random.randrange(1 << 31)))
ROUNDS = int(os.environ.get("SEAMS_ROUNDS", "30"))
CATCH_UP = "select admin.catch_up_approvals(%s::jsonb)"
STORED = """
select a.approval_id, a.state, a.closed_at is not null, a.close_reason,
       array(select array[s.signer_role, s.signer, coalesce(s.comment, ''), to_char(s.signed_at at time zone 'UTC', 'YYYY-MM-DD')]
             from admin.signature as s where s.approval_id = a.approval_id order by s.signer_role) as signatures
from admin.approval as a where a.approval_id like %s order by 1"""
chance = random.Random(SEED)
print(f"# seed {SEED}")


def history(name, number):
    """Each point of it as an element of a document."""
    roles = [f"role{n}" for n in range(chance.randint(1, 5))]
    element = {
        "approval_id": f"APP-{number:06d}-{name}",
        "action": chance.choice(["pay", "delete"]),
        "required_roles": roles,
        "requested_by": "boss",
        "created_at": "2026-01-01T00:00:00Z",
        "sla_deadline": chance.choice(["2026-06-01T00:00:00Z", "2100-01-01T00:00:00Z"]),
    }
    if chance.random() < 0.5:
        element["resource"] = "account 7"
    signatures, points = [], []
    for role in [None, *chance.sample(roles, chance.randint(0, len(roles)))]:
        if role:
            signature = {
                "signer_role": role,
                "signer": f"person of {role}",
                "signed_at": f"2026-01-{2 + len(signatures):02d}T00:00:00Z",
            }
            signatures = [*signatures, signature | ({"comment": "seen"} if chance.random() < 0.3 else {})]
        state = "signed_full" if len(signatures) == len(roles) else "signed_partial" if signatures else "pending"
        points.append({**element, "state": state, "signatures": chance.sample(signatures, len(signatures))})
    if chance.random() < 0.4:
        points.append({**points[-1], "state": "withdrawn", "closed_at": "2026-02-01T00:00:00Z", "close_reason": "over"})
    return points


def tampered(element):
    """Something that no history leads to, and what stays recognisable as this approval."""
    changes = [
        {"action": "another"},
        {"requested_by": "somebody"},
        {"sla_deadline": "2090-01-01T00:00:00Z"},
        {"created_at": "2025-01-01T00:00:00Z"},
        {"required_roles": [*element["required_roles"], "more"]},
        {"resource": "account 8"},
    ]
    if element["signatures"]:
        first, *others = element["signatures"]
        changes += [
            {"signatures": [{**first, name: value}, *others]}
            for name, value in (("signer", "nobody"), ("comment", "no"), ("signed_at", "2025-01-01T00:00:00Z"))
        ]
    return {**element, **chance.choice(changes)}


def as_stored(element):
    told = [[s["signer_role"], s["signer"], s.get("comment", ""), s["signed_at"][:10]] for s in element["signatures"]]
    return (
        element["approval_id"],
        element["state"],
        element["state"] == "withdrawn",
        element.get("close_reason"),
        sorted(told),
    )


def against_the_model():
    """Document after document, each at any point and some tampered with: what is answered, and what is there."""
    connection = connect()
    histories, reached = [history("model", number) for number in range(40)], {}
    for number in range(ROUNDS):
        document, expected = [], {"imported": 0, "advanced": 0, "unchanged": 0, "rejected": []}
        for index, points in enumerate(chance.sample(histories, len(histories))):
            key, point = points[0]["approval_id"], chance.randrange(len(points))
            before = reached.get(key)
            # What is there already can be tampered with; what is new would be another approval.
            if before is not None and chance.random() < 0.1:
                document.append(tampered(points[before]))
                expected["rejected"].append(index)
                continue
            document.append(points[point])
            if before is None or point > before:
                expected["imported" if before is None else "advanced"] += 1
                reached[key] = point
            elif point == before:
                expected["unchanged"] += 1
            else:
                expected["rejected"].append(index)
        answer = one(connection, CATCH_UP, json.dumps(document))
        answer["rejected"] = [one["index"] for one in answer["rejected"]]
        if answer != expected:
            ok(False, f"document {number} is answered as the model says", f"{answer} is not {expected}")
            return
    ok(True, f"{ROUNDS} documents are answered as the model says")
    there = [as_stored(points[reached[points[0]["approval_id"]]]) for points in histories]
    ok(
        rows(connection, STORED, "%-model") == there,
        "the store has the furthest point of each approval that a document told",
    )


def by_several_at_once():
    """Sessions that tell each approval's points in any order: the furthest stands, whoever told it."""
    histories, troubles = [history("many", number) for number in range(100)], []

    def tell(elements):
        connection = connect()
        for element in elements:
            answer = one(connection, CATCH_UP, json.dumps([element]))
            if any("does not lead on" not in one["error"] for one in answer["rejected"]):
                troubles.append(answer)
        connection.close()

    points = [point for points in histories for point in points]
    threads = [threading.Thread(target=tell, args=(chance.sample(points, len(points)),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection = connect()
    ok(not troubles, "nothing but what does not lead on is refused", troubles[:3])
    ok(
        rows(connection, STORED, "%-many") == [as_stored(points[-1]) for points in histories],
        "six sessions leave the furthest point of each approval",
    )


def what_it_leaves():
    connection = connect()
    odd = rows(
        connection,
        "select a.approval_id, v.item, v.detail from admin.approval as a, admin.verify_approval(a.approval_id) as v where not v.fits",
    )
    ok(odd == [], "every approval fits its signatures and its trail", odd[:5])
    failed = rows(
        connection,
        "select item, detail from admin.cutover_readiness where item in ('B3', 'B4', 'C1', 'C2', 'F3', 'F4') and status <> 'pass'",
    )
    ok(failed == [], "readiness finds nothing wrong with the approvals", failed)
    steps = rows(
        connection,
        "select approval_id from admin.audit where event_type = 'approval.withdrawn' group by 1 having count(*) <> 1",
    )
    ok(steps == [], "no withdrawal is in the trail twice", steps)


with contextlib.closing(connect()) as setting_up:
    one(setting_up, "create extension admin_ext_cutover")
against_the_model()
by_several_at_once()
what_it_leaves()
done()
