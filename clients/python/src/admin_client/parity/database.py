"""The other side: a scratch database with the extension, loaded with a store.

It answers by admin.sensitive_check_preview(), many requests in one query.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

from .engine import Approval, Request, digest, rfc3339

ASK = """
create function pg_temp.ask(approval_id text, action text, resource text, at timestamptz) returns text language plpgsql as $$
begin
    return admin.sensitive_check_preview(approval_id, action, resource, at);
exception when others then
    return 'error ' || sqlstate;
end $$"""
# What keeps a superuser from loading an approval that no rule foresaw.
LAWS = """
alter table admin.approval drop constraint approval_state, drop constraint approval_closed_if_withdrawn,
                           drop constraint approval_required_signer_count;
alter table admin.signature drop constraint signature_one_per_person"""
APPROVAL = (
    "approval_id",
    "action",
    "resource",
    "required_roles",
    "required_signer_count",
    "requested_by",
    "state",
    "sla_deadline",
    "closed_at",
)
SIGNATURE = ("approval_id", "signer_role", "signer", "approval_digest")


# One row for each request, in their order.
EACH = """from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality as r(approval_id, action, resource, at, n) order by n"""


def columns(requests: Sequence[Request]) -> list[list[str | None]]:
    """The arguments of EACH."""
    return [
        [r.approval_id for r in requests],
        [r.action for r in requests],
        [r.resource for r in requests],
        [None if r.at is None else rfc3339(r.at) for r in requests],
    ]


class Database:
    """A connection to a scratch database.

    Its time zone has summer time, to show that no answer depends on the zone.
    """

    def __init__(self, connection: asyncpg.Connection):
        self.connection = connection

    async def load_document(self, elements: Sequence[Any]) -> tuple[datetime, dict[str, Any]]:
        """Imports a document; the instant of the load, and what import_approvals() answered."""
        text = json.dumps(elements, ensure_ascii=False, default=str)
        return await self.load_text(text)

    async def load_text(self, text: str) -> tuple[datetime, dict[str, Any]]:
        row = await self.connection.fetchrow("select now(), admin.import_approvals($1::text::jsonb)", text)
        return row[0], json.loads(row[1])

    async def load_directly(self, approvals: Iterable[Approval]) -> None:
        """Puts approvals into the tables as they are, like the load of a dump."""
        async with self.connection.transaction():
            await self.connection.execute("set local admin_ext.restoring = on")
            await self.connection.copy_records_to_table(
                "approval",
                schema_name="admin",
                columns=APPROVAL,
                records=[tuple(getattr(approval, column) for column in APPROVAL) for approval in approvals],
            )
            await self.connection.copy_records_to_table(
                "signature",
                schema_name="admin",
                columns=SIGNATURE,
                records=[
                    (approval.approval_id, s.signer_role, s.signer, digest(approval) if s.digest is None else s.digest)
                    for approval in approvals
                    for s in approval.signatures
                ],
            )

    async def versions(self) -> str:
        """Of the server and the extension."""
        versions: str = await self.connection.fetchval(
            "select format('PostgreSQL %s, admin_ext %s', current_setting('server_version'), extversion) from pg_extension where extname = 'admin_ext'"
        )
        return versions

    async def lift_constraints(self) -> None:
        await self.connection.execute(LAWS)

    async def ask(self, requests: Sequence[Request]) -> list[str]:
        """Returns the answers' texts, in order. If the function raises an error: "error" and the SQLSTATE."""
        ask = f"select pg_temp.ask(r.approval_id, r.action, r.resource, r.at::timestamptz) {EACH}"
        return [row[0] for row in await self.connection.fetch(ask, *columns(requests))]

    async def digests(self, approval_ids: Sequence[str]) -> list[bytes | None]:
        rows = await self.connection.fetch(
            "select admin.approval_digest(id) from unnest($1::text[]) with ordinality as r(id, n) order by n",
            approval_ids,
        )
        return [row[0] for row in rows]

    async def explain(self, request: Request) -> str:
        """The rule that decides, as admin.explain_check() tells it."""
        try:
            row = await self.connection.fetchrow(
                "select precedence, rule, detail from admin.explain_check($1, $2, $3, $4::text::timestamptz) where matched",
                request.approval_id,
                request.action,
                request.resource,
                request.at and rfc3339(request.at),
            )
        except asyncpg.PostgresError as error:
            return f"{error.sqlstate}: {error}"
        return "no rule" if row is None else f"rule {row[0]}, {row[1]}: {row[2]}"


class Live(Database):
    """A database in use. It is only asked, except that the record of a run may be written.

    Its role needs the access auditor, and to record, operator.
    """

    async def ask(self, requests: Sequence[Request]) -> list[str]:
        """Asks the database. Raises if a request exceeds a limit: no request about a sound approval does."""
        ask = f"select admin.sensitive_check_preview(r.approval_id, r.action, r.resource, r.at::timestamptz) {EACH}"
        return [row[0] for row in await self.connection.fetch(ask, *columns(requests))]

    async def approval_ids(self) -> set[str]:
        return {row[0] for row in await self.connection.fetch("select approval_id from admin.approval")}

    async def now(self) -> datetime:
        now: datetime = await self.connection.fetchval("select now()")
        return now

    async def record(self, cases: int, differences: int, left_out: int, report: dict[str, Any]) -> int:
        """The number of the run in admin.parity_run."""
        run_id: int = await self.connection.fetchval(
            "select admin.record_parity_run($1, $2, $3, $4::text::jsonb)",
            cases,
            differences,
            left_out,
            json.dumps(report),
        )
        return run_id


@asynccontextmanager
async def live(dsn: str) -> AsyncIterator[Live]:
    """A connection to a database in use; also through a pooler."""
    connection = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        yield Live(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def scratch(dsn: str | None, name: str) -> AsyncIterator[Database]:
    """A database of our own in a server, for as long as it is needed."""
    name = f"admin_parity_{name}_{os.getpid()}_{secrets.token_hex(4)}"
    server = await asyncpg.connect(dsn)
    try:
        await server.execute(
            f"create database \"{name}\" template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'"
        )
        try:
            connection = await asyncpg.connect(
                dsn,
                database=name,
                server_settings={"timezone": "Europe/Berlin", "application_name": "admin_client.parity"},
            )
            try:
                await connection.execute("create extension admin_ext")
                await connection.execute("create extension admin_ext_cutover")
                await connection.execute(ASK)
                yield Database(connection)
            finally:
                await connection.close()
        finally:
            await server.execute(f'drop database if exists "{name}" with (force)')
    finally:
        await server.close()
