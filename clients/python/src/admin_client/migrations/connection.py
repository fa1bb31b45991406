"""Finds the database, connects to it, and explains errors."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from configparser import InterpolationError
from typing import Any

import asyncpg
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

log = logging.getLogger(__name__)

VARIABLES = ("ADMIN_MIGRATIONS_URL", "ADMIN_DSN")
SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")

INSTALL = "Install admin_ext on the server first: make install, with PG_CONFIG of that server."
NO_POOLER = "Name the server itself in ADMIN_MIGRATIONS_URL, not a pooler."
# Advice for an error, by SQLSTATE, where ours is better than the server's own hint.
ADVICE = {
    "0A000": INSTALL,
    "58P01": INSTALL,
    "42501": "Migrations are run by a superuser: name one in ADMIN_MIGRATIONS_URL.",
    "2BP01": "Take off what depends on the extension; triggers by admin.detach_audit().",
    "42P05": NO_POOLER,
    "26000": NO_POOLER,
}


def configured(config: Config) -> str | None:
    """What Alembic's own file says, if it does.

    A percent sign in it begins a reference to another option, or is doubled.  One that is neither is the URL's own, as in `%40`: the file's parser
    would refuse it with a message that quotes the password.
    """
    try:
        return config.get_main_option("sqlalchemy.url")
    except InterpolationError:
        return config.file_config.get(config.config_ini_section, "sqlalchemy.url", raw=True)


def url(configured: str | None = None) -> str:
    """Where the database is, as asyncpg and libpq understand it.  Raises CommandError where nothing says so.

    configured: what Alembic's own file says, if it does.  No error tells what the URL is: it may hold a password.
    """
    named = {"sqlalchemy.url": configured, **{name: os.environ.get(name) for name in VARIABLES}}
    name, text = next(((name, text) for name, text in named.items() if text), (None, ""))
    if name is None or text is None:
        raise CommandError(
            f"no database is named: set {VARIABLES[0]} (or {VARIABLES[1]}) to postgresql://user@host:port/database"
        )
    scheme, separator, rest = text.partition("://")
    if scheme not in SCHEMES or not separator:
        raise CommandError(f"{name} is not a URL that begins with postgresql://")
    return f"postgresql://{rest}"


async def connect(configured: str | None = None) -> Any:
    """A connection of asyncpg's; what the server has to say meanwhile is logged."""
    dsn = url(configured)
    try:
        connection = await asyncpg.connect(dsn, server_settings={"application_name": "admin_client.migrations"})
    except asyncpg.InterfaceError:
        raise
    except ValueError:  # asyncpg's, of a port that is no number
        raise CommandError(
            "the database's URL is not of the form postgresql://user:password@host:port/database"
        ) from None
    connection.add_log_listener(_pass_on)
    return connection


def _pass_on(connection: Any, message: Any) -> None:
    level = logging.WARNING if message.severity_en == "WARNING" else logging.INFO
    log.log(level, "%s", _complete(message))


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turns errors of the connection and of the database into CommandError, which Alembic shows without a traceback."""
    try:
        yield
    except DBAPIError as error:
        raise CommandError(_told((error.orig and error.orig.__cause__) or error.orig or error)) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(_told(error)) from error


def _told(error: BaseException) -> str:
    if not isinstance(error, asyncpg.PostgresError):
        return f"the database cannot be reached: {error or type(error).__name__}"
    return f"{error.sqlstate}: {_complete(error, ADVICE.get(error.sqlstate or ''))}"


def _complete(message: Any, advice: str | None = None) -> str:
    """Returns a server's message with its detail and its hint, or with our advice instead of the hint, in lines."""
    parts = (("", message.message), ("DETAIL: ", message.detail), ("HINT: ", advice or message.hint))
    return "\n".join(head + text for head, text in parts if text)
