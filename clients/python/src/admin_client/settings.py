"""Settings of a client: one frozen set of values, checked when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .uris import is_uri_reference

SOURCE_MAX_BYTES = 512  # as doc/ff.md has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the database is and how long things may take. All times are in seconds.

    Raises ValueError if two values contradict each other.
    """

    dsn: str
    """`postgresql://user@host:port/database`, of a role with the access `checker`."""

    pooler: bool = False
    """PgBouncer in transaction mode is in between: statements are not prepared to be kept."""

    connections: int = 10
    """Most connections for checks; events are shipped by one more.  None is opened before it is needed."""

    connect_options: Mapping[str, Any] = field(default_factory=dict)
    """More options of `asyncpg.connect`, such as `ssl`."""

    budget: float = 1.0
    """Within this a check is answered: waiting for the breaker and a connection, the network and the statement."""

    breaker_failures: int = 5
    """After so many failures one after the other nobody is asked any more."""

    breaker_seconds: float = 5.0
    """After so long one caller tries again."""

    source: str | None = None
    """CloudEvents source of this instance's events, its own among all that ship: `/ff/eu-1`."""

    spool: str | Path | None = None
    """File that keeps events until the trail has them.  One process at a time, on a disk that outlives the process."""

    ship_seconds: float = 10.0
    """Within this a batch of events is taken; otherwise a smaller one is sent.  A single event has up to 16 times as long."""

    backoff_seconds: float = 30.0
    """Longest pause between two attempts, to ship or to hear Redis."""

    cache_seconds: float = 0.0
    """A valid answer is repeated for so long, and not beyond its `valid_until`.  0: never.  Needs `spool`: each
    repetition is an event of its own, for no answer goes without a row in the trail."""

    redis_url: str | None = None
    """With it, an answer is cached only while Redis is heard, and dropped as soon as its approval changes."""

    redis_channel: str = "approval_ttl_refresh"

    redis_silence: float = 1.0
    """After so long without a message Redis is asked whether it is there, and has as long to say so."""

    def __post_init__(self) -> None:
        for name in (
            "connections",
            "budget",
            "breaker_failures",
            "breaker_seconds",
            "ship_seconds",
            "backoff_seconds",
            "redis_silence",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is not greater than zero: {getattr(self, name)}")
        if not self.cache_seconds >= 0:
            raise ValueError(f"cache_seconds is negative: {self.cache_seconds}")
        if (self.spool is None) != (self.source is None):
            raise ValueError("spool and source are given together, or neither: a spool holds the events of one source")
        if self.cache_seconds and self.spool is None:
            raise ValueError("cache_seconds needs a spool: a repeated answer has an event of its own")
        if self.source is not None:
            check_source(self.source)


def check_source(source: str) -> None:
    """Raises ValueError for a source that the trail would refuse."""
    if not 1 <= len(source.encode()) <= SOURCE_MAX_BYTES or "\0" in source:
        raise ValueError(f"source has to have 1 to {SOURCE_MAX_BYTES} bytes of text: {source[:64]!r}")
    if source == "admin_ext" or source.startswith("/admin_ext/"):
        raise ValueError(f"source is the trail's own: {source[:64]!r}")
    if not is_uri_reference(source):
        raise ValueError(
            f"source is no URI reference (RFC 3986), as CloudEvents need it, such as /ff/eu-1: {source[:64]!r}; "
            "what is not a letter, a digit or one of -._~ is percent-encoded"
        )
