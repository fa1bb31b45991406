"""redis_reader.py PORT CHANNEL: how old changes are when a subscriber hears of them.

Says ready, then listens until it has heard as many as a line of its input says; prints JSON.
"""

import datetime
import json
import select
import sys
import time

import redis


def percentile(ages, share):
    return ages[min(int(len(ages) * share), len(ages) - 1)] * 1000


def main():
    pubsub = redis.Redis(port=int(sys.argv[1])).pubsub()
    pubsub.subscribe(sys.argv[2])
    while (pubsub.get_message(timeout=10) or {}).get("type") != "subscribe":
        pass
    print("ready", flush=True)
    heard, expected, deadline = [], None, None
    while expected is None or len(heard) < expected:
        message = pubsub.get_message(timeout=0.1)
        if message is not None:
            heard.append((time.time(), message["data"]))
        elif expected is None and select.select([sys.stdin], [], [], 0)[0]:
            expected, deadline = int(sys.stdin.readline()), time.monotonic() + 60
        if deadline and time.monotonic() > deadline:
            break
    if expected != len(heard):
        sys.exit(f"{len(heard)} of {expected} messages have come")
    # Taken apart afterwards: nobody waits for the reader's JSON.
    ages = sorted(
        at - datetime.datetime.fromisoformat(json.loads(data)["occurred_at"].replace("Z", "+00:00")).timestamp()
        for at, data in heard
    )
    print(json.dumps({"p50": round(percentile(ages, 0.5), 2), "p99": round(percentile(ages, 0.99), 2)}))


main()
