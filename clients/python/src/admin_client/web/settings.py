"""Settings of the app, from its environment or from the program that makes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

TRUE, FALSE = {"1", "true", "on", "yes"}, {"0", "false", "off", "no"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """Where the database is, and how long things may take.  Raises ValueError for what makes no sense."""

    dsn: str
    """`postgresql://...`, of a role with the accesses checker, signer and auditor.  ADMIN_DSN."""

    pooler: bool = False
    """PgBouncer in transaction mode is in between.  ADMIN_POOLER."""

    connections: int = 10
    """Most connections.  ADMIN_POOL_SIZE."""

    budget: float = 1.0
    """Seconds within which a request is answered: waiting for a connection, network, statements.  ADMIN_BUDGET."""

    readiness_budget: float = 10.0
    """The same of /api/cutover-readiness, which looks at every approval.  ADMIN_READINESS_BUDGET."""

    body_budget: float = 10.0
    """Seconds within which the body of a request has to come, and again to be parsed.  ADMIN_BODY_BUDGET."""

    require_token: bool = True
    """A request without a bearer token is refused.  Off, people are named in the request, as far as the database takes that.
    ADMIN_REQUIRE_TOKEN."""

    ingest_role: str = ""
    """The role that a token must hold to bring events into the trail.  Empty: the app takes no events.  ADMIN_INGEST_ROLE."""

    reader_role: str = ""
    """The role that a token must hold to read approvals, previews and the state of the cutover.  Empty: nobody reads them here.  ADMIN_READER_ROLE."""

    def __post_init__(self) -> None:
        if not self.dsn:
            raise ValueError("ADMIN_DSN is not set: postgresql://role@host/database")
        for name in ("connections", "budget", "readiness_budget", "body_budget"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is not greater than zero: {getattr(self, name)}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> AppSettings:
        """Raises ValueError that names the variable."""
        return cls(
            dsn=environment.get("ADMIN_DSN", ""),
            pooler=flag(environment, "ADMIN_POOLER", False),
            connections=whole(environment, "ADMIN_POOL_SIZE", 10),
            budget=number(environment, "ADMIN_BUDGET", 1.0),
            readiness_budget=number(environment, "ADMIN_READINESS_BUDGET", 10.0),
            require_token=flag(environment, "ADMIN_REQUIRE_TOKEN", True),
            ingest_role=environment.get("ADMIN_INGEST_ROLE", ""),
            reader_role=environment.get("ADMIN_READER_ROLE", ""),
            body_budget=number(environment, "ADMIN_BODY_BUDGET", 10.0),
        )


def flag(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name, "").lower()
    if text and text not in TRUE | FALSE:
        raise ValueError(f"{name} is neither on nor off: {text[:64]!r}")
    return text in TRUE if text else default


def number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise ValueError(f"{name} is no number: {text[:64]!r}") from None


def whole(environment: Mapping[str, str], name: str, default: int) -> int:
    value = number(environment, name, default)
    if value != value // 1:  # of infinity and NaN, too
        raise ValueError(f"{name} is no whole number: {environment[name][:64]!r}")
    return int(value)
