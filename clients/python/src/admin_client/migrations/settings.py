"""Where the database is, and how alembic is told."""
from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

VERSION_TABLE = "admin_alembic_version"
VERSION_SCHEMA = "public"
VARIABLES = ("ADMIN_MIGRATIONS_DSN", "ADMIN_DSN")
SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")


class NoDatabase(Exception):
    """Nobody has said which database."""


def engine_url(dsn: str) -> str:
    """`postgresql://...`, as asyncpg and libpq take it, for SQLAlchemy's asyncpg dialect.  Raises NoDatabase for another kind of address."""
    parts = urlsplit(dsn)
    if parts.scheme not in SCHEMES:
        raise NoDatabase(f"the address is not postgresql://...: {parts.scheme or dsn[:16]!r}")
    # asyncpg has another word for the TLS mode.
    query = urlencode([("ssl" if key == "sslmode" else key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True)])
    return f"postgresql+asyncpg://{parts.netloc}{parts.path or '/'}{f'?{query}' if query else ''}"


def dsn_of(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The address: what was given, else the environment's, else libpq's variables.  Raises NoDatabase."""
    for dsn in (given, *(environment.get(name) for name in VARIABLES)):
        if dsn:
            return dsn
    if environment.get("PGHOST") or environment.get("PGDATABASE"):
        return "postgresql://"
    raise NoDatabase(f"no database is named: set {' or '.join(VARIABLES)}, or PGHOST and PGDATABASE")
