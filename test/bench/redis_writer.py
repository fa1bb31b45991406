"""redis_writer.py PORT CHANNEL RATE SECONDS: what an application does by itself, one change a
transaction and a PUBLISH right after its commit; prints how many there were.

Whatever ends it between the two, nobody is told: that is what it saves.
"""

import datetime
import json
import sys
import threading
import time

import psycopg2
import redis

PORT, CHANNEL, RATE, SECONDS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
CLIENTS = 4
INSERT = (
    "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) "
    "values ('APP-' || lpad((nextval('bench_number') % 1000000)::text, 6, '0') || '-b' || currval('bench_number'), 'pay', '{x}', 1, 'boss', now() + interval '1 day') "
    "returning approval_id"
)
counts = [0] * CLIENTS


def write(client):
    connection, server = psycopg2.connect(""), redis.Redis(port=PORT)
    cursor = connection.cursor()
    begun = time.monotonic() + client / RATE
    while (due := begun + counts[client] * CLIENTS / RATE) < begun + SECONDS:
        time.sleep(max(due - time.monotonic(), 0))
        cursor.execute(INSERT)
        approval = cursor.fetchone()[0]
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        connection.commit()
        server.publish(
            CHANNEL,
            json.dumps(
                {
                    "approval_id": approval,
                    "state": "pending",
                    "ttl_state": "not-applicable",
                    "valid_until": None,
                    "event_type": "approval.issued",
                    "audit_id": str(counts[client]),
                    "occurred_at": at,
                }
            ),
        )
        counts[client] += 1


threads = [threading.Thread(target=write, args=(client,)) for client in range(CLIENTS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(counts))
