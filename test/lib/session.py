"""What suites that speak SQL share: TAP, and a connection to the scratch server."""

import os

import psycopg2
from tap import end as done, ok, poll  # noqa: F401 -- handed on


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
