"""python -m admin_client.migrations: upgrade, downgrade, current, history, and drift.

Exit status: 0 done, and no drift; 1 drift; 2 it could not be done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys

try:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    from . import drift
    from .connection import explained
except ModuleNotFoundError as missing:
    print(f"migrations: {missing}; more packages are needed: pip install 'admin-client[migrations]'", file=sys.stderr)
    sys.exit(2)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m admin_client.migrations",
        description="Brings the extension admin_ext into a database, up to date and out of it; ADMIN_MIGRATIONS_URL or ADMIN_DSN names the database.",
        epilog="Exit status: 0 done, and no drift; 1 drift; 2 it could not be done.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    upgrade = commands.add_parser("upgrade", help="to a revision")
    upgrade.add_argument("revision", nargs="?", default="head", help="default: the last one; with --sql also FROM:TO")
    downgrade = commands.add_parser("downgrade", help="to an earlier revision; refused where data would be lost")
    downgrade.add_argument("revision", help="such as base; with --sql FROM:TO")
    for one in (upgrade, downgrade):
        one.add_argument("--sql", action="store_true", help="writes what would be done, and needs no database")
    commands.add_parser("current", help="the revision of the database")
    commands.add_parser("history", help="all revisions")
    drifting = commands.add_parser("drift", help="holds the catalog against the specification, in both directions")
    drifting.add_argument("--json", action="store_true", help="as a document")
    return parser.parse_args(argv)


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", "admin_client:migrations")
    config.set_main_option("path_separator", "os")
    return config


def find_drift(as_json: bool) -> int:
    spec = drift.specification()
    with explained():
        there = asyncio.run(drift.catalog(spec))
    found = drift.differences(spec, there)
    name = f"{spec['extension']} {spec['version']}"
    if as_json:
        document = {
            "extension": spec["extension"],
            "version": spec["version"],
            "differences": [one.as_json() for one in found],
        }
        print(json.dumps(document, indent=4))
    else:
        print("\n".join(map(str, found)) or f"no drift: {name}, {len(drift.relations(spec, there))} relations")
    return 1 if found else 0


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    logging.basicConfig(format="%(levelname)s %(message)s")
    for name in ("alembic.runtime.migration", "admin_client.migrations"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        if chosen.command == "drift":
            return find_drift(chosen.json)
        if chosen.command in ("upgrade", "downgrade"):
            getattr(command, chosen.command)(configuration(), chosen.revision, sql=chosen.sql)
        else:
            getattr(command, chosen.command)(configuration())
    except CommandError as error:
        print(f"migrations: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
