"""The same events over eight connections, shuffled, in overlapping batches: each once, and no gap but the real ones."""

import json
import os
import pathlib
import random
import threading

from session import connect, done, error, ok, one, poll, rows

ROUNDS, CONNECTIONS, SOURCES, NUMBERS = int(os.environ.get("SEAMS_ROUNDS", "40")), 8, 3, 4000
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
print(f"# seed {seed}, {ROUNDS} batches over each of {CONNECTIONS} connections")
MICROSECOND = "2026-11-24T07:{:02d}:{:02d}.{:06d}Z"


def event(source, number):
    """What an event is follows from its source and number."""
    return {
        "specversion": "1.0",
        "id": f"{number:x}-{'é' * (number % 3)}",
        "source": f"/ff/{source}",
        "type": f"ptt.ff.kind{number % 5}",
        "time": MICROSECOND.format(number % 60, number // 60 % 60, number),
        "sequence": str(number),
        "subject": f"APP-{number:06d}-ff",
        "data": {"number": number, "text": 'quote " and \\ and \n'},
    }


def sender(n, sent, problems):
    chance = random.Random(seed + n)
    connection = connect()
    connection.autocommit = False
    for _ in range(ROUNDS):
        # One in fifty never comes; batches run over several sources in any order.
        batch = [
            (source, number)
            for source in chance.sample(range(SOURCES), chance.randint(1, SOURCES))
            for number in chance.sample([i for i in range(NUMBERS) if i % 50 != source], 200)
        ]
        batch += chance.sample(batch, 20)
        chance.shuffle(batch)
        answer, text = error(connection, "select admin.audit_ingest(%s)", json.dumps([event(*e) for e in batch]))
        if answer != "none":
            problems.append(text)
            connection.rollback()
        elif chance.random() < 0.2:
            connection.rollback()
        else:
            connection.commit()
            sent.update(batch)
    connection.close()


sent, problems = [set() for _ in range(CONNECTIONS)], []
threads = [threading.Thread(target=sender, args=(n, sent[n], problems)) for n in range(CONNECTIONS)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
came = set().union(*sent)
ok(problems == [], "no connection fails: no deadlock, no conflict", problems[:3])

connection = connect()
held = rows(
    connection,
    "select source, source_event_id, count(*) from admin.audit where source_event_id is not null group by 1, 2",
)
expected = {(event(*e)["source"], event(*e)["id"]) for e in came}
ok(
    {(source, identity) for source, identity, _ in held} == expected,
    f"the trail has every event that was committed, and no other: {len(expected)}",
)
ok(all(count == 1 for _, _, count in held), "the trail has each event once")


def gaps(source):
    """Runs of numbers between the first and the last that came, none of which did."""
    numbers = sorted(number for s, number in came if s == source)
    return [(a + 1, b - 1) for a, b in zip(numbers, numbers[1:]) if b > a + 1]


for source in range(SOURCES):
    name = f"/ff/{source}"
    ok(
        rows(
            connection,
            "select from_sequence, to_sequence from admin.ingest_gap where source = %s and filled_at is null order by 1",
            name,
        )
        == gaps(source),
        f"open gaps of {name} are the numbers that never came",
    )
    accepted = sum(s == source for s, _ in came)
    numbers = [number for s, number in came if s == source]
    ok(
        rows(
            connection,
            "select accepted, first_sequence, last_sequence, unexpected from admin.ingest_source where source = %s",
            name,
        )
        == [(accepted, min(numbers), max(numbers), 0)],
        f"ingest_source counts the {accepted} events of {name}",
    )

# What was missing comes late, shuffled.
late = [
    (source, number) for source in range(SOURCES) for first, last in gaps(source) for number in range(first, last + 1)
]
random.Random(seed).shuffle(late)
for i in range(0, len(late), 17):
    one(connection, "select admin.audit_ingest(%s)", json.dumps([event(*e) for e in late[i : i + 17]]))
came |= set(late)
ok(
    rows(connection, "select * from admin.ingest_gap where filled_at is null") == [],
    f"{len(late)} late events close all gaps",
)
ok(
    one(connection, "select count(*) from admin.ingest_gap") > 0
    and one(connection, "select sum(unexpected) from admin.ingest_source") == 0,
    "closed gaps stay in ingest_gap, and no event was counted as unexpected",
)

# What was delivered.
delivered = "select not exists (select from admin.audit_delivery where sink_status <> 'delivered')"
ok(poll(lambda: one(connection, delivered), 60), "every row of the trail is delivered")
documents = [
    json.loads(line)
    for file in sorted(pathlib.Path(os.environ["SCRATCH"], "data/admin_ext").glob("*-*.ndjson"))
    for line in file.read_text().splitlines()
]
by_name = {(d["source"], d["id"]): d for d in documents}
ok(len(documents) == len(by_name) == len(came), f"each event has one document: {len(documents)}")
wrong = [
    d
    for d in (by_name[(e["source"], e["id"])] for e in (event(*c) for c in came))
    if {**d, **event(*[int(x) for x in (d["source"][4:], d["sequence"])])} != d
]
ok(wrong == [], "each document has the source, id, type, time, subject, sequence and data of its event", wrong[:2])
ok(
    all(d["auditid"].isdigit() and d["partitionkey"] == d["subject"] for d in documents),
    "each document has the trail's auditid, and its subject as partitionkey",
)
done()
