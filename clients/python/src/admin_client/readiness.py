"""FF's side of the cutover: is the database ready, item by item?

    python -m admin_client.readiness [--dsn DSN] [--json]

Exit status 0: nothing fails; 1: something does, or the database has other items than this version of the client knows; 2: it could
not be asked.  What is not configured is named, and is for a person to say whether that is meant.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import asyncpg

ITEMS = {
    "A1": "tables are as described",
    "A2": "views are as described",
    "A3": "audit trail is partitioned, indexed and append-only",
    "A4": "version is the installed one, and nothing was slipped in",
    "A5": "triggers are enabled",
    "B1": "import is complete",
    "B2": "parity is clean",
    "B3": "counts are consistent",
    "B4": "digests match",
    "C1": "view and check agree on every approval",
    "C2": "nothing past its deadline is valid",
    "C3": "boundaries of deadlines hold",
    "C4": "sweep is alive",
    "D1": "workers are alive",
    "D2": "topic takes the trail",
    "D3": "schema is registered",
    "D4": "delivery keeps up",
    "D5": "there are no dead letters",
    "D6": "archive is written",
    "E1": "checker role can check, and nothing more",
    "E2": "calls are seen",
    "E3": "p99 is within the budget",
    "E4": "Redis publisher is alive",
    "E5": "ingest has no gaps",
    "F1": "issuers and keys are there",
    "F2": "tokens are required",
    "F3": "separation of duties holds",
    "F4": "withdrawals are terminal",
}
"""What has to hold before FF asks the database alone; the same as admin.cutover_readiness and fixtures/cutover_readiness_notes.json."""

QUERY = "select item, area, title, status, detail from admin.cutover_readiness"
MARKS = {"pass": "+", "fail": "X", "not_configured": "?"}


@dataclass(frozen=True)
class Row:
    """One item.  status: `pass`, `fail` or `not_configured`."""

    item: str
    area: str
    title: str
    status: str
    detail: str | None


@dataclass(frozen=True)
class Readiness:
    """All items, in order."""

    rows: Sequence[Row]

    @property
    def counts(self) -> dict[str, int]:
        """How many items have each status."""
        return {status: sum(row.status == status for row in self.rows) for status in MARKS}

    @property
    def unknown(self) -> list[str]:
        """Returns the items that only the database or only this client knows, and those whose titles differ."""
        return sorted(
            {row.item for row in self.rows if ITEMS.get(row.item) != row.title}
            | ITEMS.keys() - {row.item for row in self.rows}
        )

    @property
    def ready(self) -> bool:
        """Returns whether no item fails and both sides know the same items."""
        return not self.unknown and not self.counts["fail"]


def readiness(rows: Iterable[asyncpg.Record]) -> Readiness:
    """Makes a Readiness from the rows of QUERY."""
    return Readiness([Row(**dict(row)) for row in rows])


async def ask(dsn: str | None, seconds: float = 30.0) -> Readiness:
    """Asks a database.

    Its role needs the access auditor or operator. Raises the errors of asyncpg, and TimeoutError.
    """
    async with asyncio.timeout(seconds):
        connection = await asyncpg.connect(dsn, statement_cache_size=0)
        try:
            return readiness(await connection.fetch(QUERY))
        finally:
            await connection.close(timeout=5)


def terminal(found: Readiness) -> str:
    """A table for people."""
    lines = [f"{MARKS[row.status]} {row.item}  {row.title}: {row.detail or ''}" for row in found.rows]
    lines += [
        f"! {item}: not the same here and there; install the client of the database's version" for item in found.unknown
    ]
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items())
    return "\n".join([*lines, f"{'ready' if found.ready else 'not ready'}: {counts}"]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m admin_client.readiness",
        description="Is the database ready to take over from the file-backed store?",
    )
    parser.add_argument(
        "--dsn",
        default=os.environ.get("ADMIN_DSN"),
        help="of a role with the access auditor or operator; ADMIN_DSN, and libpq's variables, where it is not given",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    options = parser.parse_args(arguments)
    try:
        found = asyncio.run(ask(options.dsn))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(f"readiness: {error or type(error).__name__}", file=sys.stderr)
        return 2
    if options.json:
        print(
            json.dumps(
                {
                    "ready": found.ready,
                    "counts": found.counts,
                    "unknown": found.unknown,
                    "items": [asdict(row) for row in found.rows],
                },
                indent=2,
            )
        )
    else:
        print(terminal(found), end="")
    return 0 if found.ready else 1


if __name__ == "__main__":
    sys.exit(main())
