"""Alembic's environment: runs migrations on the database that sqlalchemy.url, ADMIN_MIGRATIONS_URL or ADMIN_DSN names, all of them in
one transaction, or writes them as SQL.  Alembic executes this file for each of its commands.
"""

from __future__ import annotations

import asyncio
from functools import partial
from logging.config import fileConfig
from typing import Any

from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from admin_client.migrations import steps
from admin_client.migrations.connection import configured, connect, explained

DIALECT = "postgresql+asyncpg://"


def migrate(**target: Any) -> None:
    """Does what the command is, online or offline.  target: arguments of context.configure()."""
    context.configure(version_table="admin_alembic_version", version_table_schema="public", **target)
    with context.begin_transaction():
        if not context.get_context().opts.get("dont_mutate"):  # who only asks waits for nobody
            for statement in steps.OPENING:
                context.execute(statement)
        context.run_migrations()


async def online() -> None:
    engine = create_async_engine(
        DIALECT, async_creator=partial(connect, configured(context.config)), poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(lambda it: migrate(connection=it))


if context.config.config_file_name and context.config.file_config.has_section("loggers"):
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
if context.is_offline_mode():
    migrate(url=DIALECT, literal_binds=True)
else:
    with explained():
        asyncio.run(online())
