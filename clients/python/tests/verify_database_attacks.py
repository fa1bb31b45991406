"""Attacks on what the database has recorded of its archive, by a superuser: what is done, and what the verifier says.

doc/auditor.md has these with the rest of the table; test_verify_deleted_receipts.py runs them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

COMMAND = "{source} --dsn DSN"
RECEIPT = "admin.archive_receipt"


def unguarded(change: str) -> str:
    """A change to the receipts, with the triggers out of the way that refuse it."""
    enabled = "; ".join(
        f"alter table {RECEIPT} enable always trigger {name}"
        for name in ("receipt_append_only", "receipt_append_only_statement")
    )
    return f"set session_replication_role = replica; alter table {RECEIPT} disable trigger user; {change}; {enabled}; set session_replication_role = origin"


def _run(dsn: str, change: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(change)
        finally:
            await connection.close()

    asyncio.run(run())


def delete_all(dsn: str, seals: list) -> None:
    _run(dsn, unguarded(f"delete from {RECEIPT}; delete from admin_internal.archive_base"))


def delete_newest(dsn: str, seals: list) -> None:
    _run(
        dsn,
        unguarded(
            f"delete from {RECEIPT} where last_number = {seals[2][0]}; delete from admin_internal.archive_base where last_number = {seals[2][0]}"
        ),
    )


def delete_middle(dsn: str, seals: list) -> None:
    _run(dsn, unguarded(f"delete from {RECEIPT} where last_number = {seals[1][0]}"))


def delete_newest_alone(dsn: str, seals: list) -> None:
    _run(dsn, unguarded(f"delete from {RECEIPT} where last_number = {seals[2][0]}"))


def delete_base(dsn: str, seals: list) -> None:
    _run(dsn, "delete from admin_internal.archive_base")


def alter_retention(dsn: str, seals: list) -> None:
    _run(dsn, unguarded(f"update {RECEIPT} set retain_until = retain_until + interval '100 years'"))


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    title: str
    attack: Callable[[str, list], None]
    says: str
    level: str = "wrong"
    kind: str = "archive"
    command: str = COMMAND


GONE = "which no longer exists: it was deleted or altered"
CASES = [
    Case("All receipts are deleted from the database", delete_all, GONE),
    Case("The newest receipt is deleted from the database", delete_newest, GONE),
    Case("A receipt is deleted from the database", delete_middle, GONE),
    Case(
        "The newest receipt is deleted, and what it covers stays archived",
        delete_newest_alone,
        "later ones were deleted",
    ),
    Case(
        "What receipts cover is deleted from the database",
        delete_base,
        "and says that they are archived up to 0",
        "attention",
    ),
    Case("The retention of receipts is altered in the database", alter_retention, GONE),
]
