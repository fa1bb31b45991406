"""A scratch database on disk, for what would not fit into memory."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE_KIB = 32 * 1024


@contextmanager
def scratch(*statements: str) -> Iterator[sqlite3.Connection]:
    """An empty SQLite database with these tables, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="admin_verify.") as directory:
        connection = sqlite3.connect(Path(directory) / "scratch", isolation_level=None)
        try:
            for pragma in (
                "journal_mode = off",
                "synchronous = off",
                f"cache_size = -{CACHE_KIB}",
                "temp_store = file",
            ):
                connection.execute(f"pragma {pragma}")
            for statement in statements:
                connection.execute(statement)
            connection.execute("begin")
            yield connection
        finally:
            connection.close()
