"""python -m admin_client.migrations: alembic's commands on this history, and the drift check.

Exit status: 0 done, or no drift; 1 drift; 2 it could not be done.
"""
from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from . import drift
from .settings import NoDatabase, dsn_of


def config(dsn: str | None) -> Config:
    """alembic's, for this history, wherever it is installed."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.attributes["dsn"] = dsn
    return made


def look_for_drift(dsn: str | None, as_json: bool) -> int:
    address = dsn_of(dsn)
    found = asyncio.run(drift.look(None if address == "postgresql://" else address))
    if as_json:
        print(drift.as_json(found))
    else:
        print("".join(f"{line}\n" for line in found) or f"no drift: {len(drift.description()['relations'])} relations are as described\n", end="")
    return 1 if found else 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m admin_client.migrations", description="Creates and upgrades the extension admin_ext by an alembic history.")
    parser.add_argument("--dsn", help="postgresql://... of a superuser, not through a pooler; ADMIN_MIGRATIONS_DSN or ADMIN_DSN, and libpq's variables, where it is not given")
    commands = parser.add_subparsers(dest="command", required=True)
    upgrade = commands.add_parser("upgrade", help="to a revision, head where none is named")
    upgrade.add_argument("revision", nargs="?", default="head")
    downgrade = commands.add_parser("downgrade", help="to a revision; refused where it would lose data")
    downgrade.add_argument("revision")
    for step in (upgrade, downgrade):
        step.add_argument("--sql", action="store_true", help="writes the statements to standard output instead; a downgrade then needs FROM:TO")
    for name, what in (("current", "the revision that the database is at"), ("history", "all revisions")):
        commands.add_parser(name, help=what).add_argument("--verbose", action="store_true")
    commands.add_parser("drift", help="holds the catalog against the description of the schema").add_argument("--json", action="store_true")
    return parser.parse_args(argv)


def run(chosen: argparse.Namespace) -> int:
    if chosen.command == "drift":
        return look_for_drift(chosen.dsn, chosen.json)
    alembic = config(chosen.dsn)
    if chosen.command in ("upgrade", "downgrade"):
        getattr(command, chosen.command)(alembic, chosen.revision, sql=chosen.sql)
    else:
        getattr(command, chosen.command)(alembic, verbose=chosen.verbose)
    return 0


def reason(error: BaseException) -> str:
    """What the server, or alembic, has to say, with its detail and hint."""
    while not isinstance(error, asyncpg.PostgresError) and error.__cause__ is not None:
        error = error.__cause__
    lines = [str(error).split("\n")[0] or type(error).__name__]
    lines += [f"{name.upper()}: {text}" for name in ("detail", "hint") if (text := getattr(error, name, None)) and isinstance(text, str) and text not in lines[0]]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    try:
        return run(arguments(argv))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (NoDatabase, CommandError, SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        print(f"migrations: {reason(error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
