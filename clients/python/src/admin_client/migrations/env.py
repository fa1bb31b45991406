"""alembic's environment: an async engine of its own for each run, or SQL on standard output (`--sql`)."""
from __future__ import annotations

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from admin_client.migrations.settings import VERSION_SCHEMA, VERSION_TABLE, dsn_of, engine_url

# Of all runs in a database one goes on, the others wait for it and find nothing left to do.
LOCK = 4711_2026_11
OPTIONS: dict[str, Any] = {"version_table": VERSION_TABLE, "version_table_schema": VERSION_SCHEMA, "transaction_per_migration": False}


def take_lock(execute: Any) -> None:
    execute(f"select pg_catalog.pg_advisory_xact_lock({LOCK})")


def run_online(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=None, **OPTIONS)
    with context.begin_transaction():
        take_lock(lambda statement: connection.execute(text(statement)))
        context.run_migrations()


async def connect_and_run() -> None:
    engine = create_async_engine(engine_url(dsn_of(context.config.attributes.get("dsn") or context.config.get_main_option("sqlalchemy.url"))), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run_online)
    finally:
        await engine.dispose()


def run_offline() -> None:
    context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        take_lock(context.execute)
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    asyncio.run(connect_and_run())
