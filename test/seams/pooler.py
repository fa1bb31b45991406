"""Through PgBouncer in transaction mode, four server sessions for many clients: nothing depends on a session."""

import asyncio
import json
import os

import asyncpg
from session import connect, done, ok, one, rows

CLIENTS, CALLS = 40, 25
direct = connect()
one(direct, "create role ff login; grant temporary on database postgres to ff")
one(direct, "select admin.grant_access('ff', 'checker', '/ff/')")
one(
    direct,
    """insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
    values ('APP-000001-p', 'pay', '{r}', 1, 'boss', '2100-01-01')""",
)
one(direct, "insert into admin.signature (approval_id, signer_role, signer) values ('APP-000001-p', 'r', 'ann')")

# What another client may leave behind in a session.
LEFTOVERS = [
    "set search_path = pg_temp",
    "set timezone = 'Asia/Kathmandu'",
    "set datestyle = 'German'",
    "set intervalstyle = 'iso_8601'",
    "set extra_float_digits = -15",
    "set bytea_output = 'escape'",
    "set standard_conforming_strings = off",
    "create temp table if not exists audit (payload json)",
    "set default_transaction_isolation = 'repeatable read'",
    "set row_security = off",
    "set client_encoding = 'LATIN1'",
    "set enable_indexscan = off",
    "set jit = on",
    "set application_name = 'somebody else'",
]


def event(client, call):
    return {
        "specversion": "1.0",
        "id": f"{client}-{call}",
        "source": f"/ff/{client % 4}",
        "type": "ptt.ff.used",
        "data": {"n": call},
    }


async def pooled(user):
    return await asyncpg.connect(
        host=os.environ["PGBOUNCER_DIR"], port=6432, user=user, database="postgres", statement_cache_size=0
    )


async def ingest(connection, batch):
    """As every client of a database does: what could not be serialised is sent again."""
    for _ in range(20):
        try:
            return json.loads(await connection.fetchval("select admin.audit_ingest($1::text::jsonb)", batch))
        except asyncpg.SerializationError:
            continue


async def client(n, answers):
    connection = await pooled("ff")
    for call in range(CALLS):
        check = json.loads(
            await connection.fetchval(
                "select admin.sensitive_check($1, $2, actor => 'FF', request_id => $3)",
                "APP-000001-p",
                "pay",
                f"{n}-{call}",
            )
        )
        # Sent twice, as after a time-out.
        batch = json.dumps([event(n, call), event(n, max(call - 1, 0))])
        answers.append((check, await ingest(connection, batch), await ingest(connection, batch)))
    await connection.close()


async def litterer(over):
    connection = await pooled("ff")
    count = 0
    while not over.is_set():
        await connection.execute(LEFTOVERS[count % len(LEFTOVERS)])
        count += 1
        await asyncio.sleep(0)
    await connection.close()
    return count


async def main():
    answers, over = [], asyncio.Event()
    litter = asyncio.create_task(litterer(over))
    await asyncio.gather(*(client(n, answers) for n in range(CLIENTS)))
    over.set()
    return answers, await litter


answers, littered = asyncio.run(main())
print(f"# {len(answers)} calls of each, {littered} leftovers")
total = CLIENTS * CALLS
ok(len(answers) == total and littered > 50, "every call was answered, in sessions that others have left in disorder")
kept = {(c["decision"], c["state"], c["ttl_state"], c["valid_until"], c["audit"]["sink_status"]) for c, _, _ in answers}
ok(
    kept == {("valid", "signed_full", "valid", "2100-01-01T00:00:00.000000Z", "pending")},
    "every check says the same",
    kept,
)
ok(
    len({c["audit"]["audit_id"] for c, _, _ in answers}) == total
    and one(direct, "select count(*) from admin.audit where event_type = 'sensitive.check.2b'") == total,
    "every check has its own audit row",
)
ok(
    sum(f["accepted"] for _, f, _ in answers) == total
    and all(a["accepted"] == 0 and a["duplicates"] == 2 for _, _, a in answers),
    "every event was accepted once",
)
ok(
    rows(
        direct,
        "select count(*), count(distinct (source, source_event_id)) from admin.audit where source_event_id is not null",
    )
    == [(total, total)],
    "every event is in the trail once",
)
ok(
    one(direct, "select count(*) from pg_stat_activity where usename = 'ff'") <= 4,
    "PgBouncer uses at most four server sessions for all clients",
)
done()
