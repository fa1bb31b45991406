"""What suites that speak SQL share: TAP, and a connection to the scratch server."""
import os
import time

import psycopg2

count = failed = 0


def ok(condition, name, note=""):
    global count, failed
    count += 1
    failed += not condition
    print(f"{'ok' if condition else 'not ok'} {count} - {name}", flush=True)
    if not condition and note != "":
        print(f"# {note}", flush=True)
    return condition


def done():
    print(f"1..{count}")
    raise SystemExit(failed != 0)


def poll(condition, seconds):
    """Until it holds, or the time is over; says whether it does."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(holds)


def connect(user="postgres", **options):
    options = {"host": os.environ["PGHOST"], "dbname": os.environ["PGDATABASE"], "user": user, **options}
    connection = psycopg2.connect(**options)
    connection.autocommit = True
    return connection


def one(connection, query, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(query, arguments or None)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def rows(connection, query, *arguments):
    with connection.cursor() as cursor:
        cursor.execute(query, arguments or None)
        return cursor.fetchall()


def error(connection, query, *arguments):
    """SQLSTATE and text of the error that a query has to raise; ('none', answer) when it raises none."""
    try:
        return "none", str(one(connection, query, *arguments))
    except psycopg2.Error as raised:
        return raised.pgcode, str(raised)
