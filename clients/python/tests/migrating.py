"""What tests of migrations share: databases of their own in the scratch server, and both commands."""

import contextlib
import itertools
import os
import pathlib
import subprocess
import sys

from harness import SCRATCH, sql
from session import connect, one, rows

ROOT = pathlib.Path(__file__).resolve().parents[3]
COMMANDS = {
    "module": [sys.executable, "-m", "admin_client.migrations"],
    "alembic": [str(pathlib.Path(sys.executable).with_name("alembic")), "-c", "clients/python/alembic.ini"],
}
numbers = itertools.count()


def url(name, user="postgres"):
    return f"postgresql://{user}@/{name}?host={SCRATCH}"


def start(command, *arguments, **variables):
    """A command of COMMANDS in a process, with only these variables to name the database."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ADMIN_")}
    return subprocess.Popen(
        [*COMMANDS[command], *arguments],
        cwd=ROOT,
        env={**environment, **variables},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(command, *arguments, **variables):
    """What came of it: exit status, output, errors."""
    process = start(command, *arguments, **variables)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


class Database:
    def __init__(self, name):
        self.name = name
        self.url = url(name)

    def connect(self, **options):
        return connect(dbname=self.name, **options)

    def sql(self, query, *arguments):
        with contextlib.closing(self.connect()) as connection:
            return one(connection, query, *arguments)

    def rows(self, query, *arguments):
        with contextlib.closing(self.connect()) as connection:
            return rows(connection, query, *arguments)

    def run(self, command, *arguments):
        return run(command, *arguments, ADMIN_MIGRATIONS_URL=self.url)

    def done(self, command, *arguments):
        """Its output and errors; it has to succeed."""
        status, output, errors = self.run(command, *arguments)
        assert status == 0, errors
        return output + errors

    def psql(self, script):
        """Exit status and errors of a script that psql runs as one does with --sql's output."""
        ran = subprocess.run(
            [
                f"{os.environ['PGBINDIR']}/psql",
                "-Xq",
                "-v",
                "ON_ERROR_STOP=1",
                "-v",
                "VERBOSITY=verbose",
                "-d",
                self.name,
            ],
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return ran.returncode, ran.stderr

    def dump(self):
        """All that pg_dump has to say, but for the key that it makes up."""
        ran = subprocess.run(
            [f"{os.environ['PGBINDIR']}/pg_dump", self.name], capture_output=True, text=True, check=True, timeout=60
        )
        return [line for line in ran.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]

    def waiting(self, count=1):
        """Do so many migrations wait for a lock here?"""
        return (
            sql(
                """select count(*) from pg_stat_activity where datname = %s and application_name = 'admin_client.migrations'
                      and wait_event_type = 'Lock'""",
                self.name,
            )
            == count
        )

    @property
    def revision(self):
        return self.sql("select string_agg(version_num, ',') from public.admin_alembic_version")

    @property
    def extension(self):
        return self.sql("select extversion from pg_extension where extname = 'admin_ext'")


@contextlib.contextmanager
def scratch(template="template0"):
    """A database for as long as it is needed."""
    name = f"migrations_{os.getpid()}_{next(numbers)}"
    sql(f"create database {name} template {template}")
    try:
        yield Database(name)
    finally:
        sql(f"drop database {name} with (force)")
