"""Receipts tell the database what the archive holds."""

import asyncio
import logging
import re
import time

import asyncpg

from admin_client.archive.objects import Receipt

_log = logging.getLogger(__name__)
_TIMEOUT = 5.0
_SHORTEST, _LONGEST = 1.0, 60.0
# object_not_in_prerequisite_state: the database does not have the number yet, or it is never the end of a batch.
# lock_not_available: another session is in the way.
_LATER = ("55000", "55P03")
# no_data_found: an older store, or a number so old that its link was purged. It can never be compared.
_NEVER = "P0002"
# The database refuses these characters in a location. The description of a fault may quote a record of the topic.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_QUESTION = "select admin.record_receipt($1::uuid, $2, $3, $4, $5, $6, $7)"


class Receipts:
    """Keeps the newest receipt of each store until the database has it. A newer receipt covers the older ones."""

    def __init__(self, dsn: str | None) -> None:
        self._dsn = dsn
        self._waiting: dict[tuple[str, bool], Receipt] = {}
        self._next_try, self._pause = 0.0, _SHORTEST

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, receipt: Receipt) -> None:
        """Adds a receipt, which is sent at the next opportunity.

        The receipt of a broken stream does not replace that of the stream's last seal.
        """
        if self._dsn is not None:
            self._waiting[receipt.store, receipt.chain is None] = receipt
            self._next_try = 0.0

    def send(self) -> None:
        """Sends the waiting receipts when it is time. A receipt that fails is sent again later."""
        if not self._waiting or time.monotonic() < self._next_try:
            return
        try:
            asyncio.run(self._send_all())
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("could not send receipts: %s: %s", type(error).__name__, error)
        if self._waiting:
            self._next_try = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, _LONGEST)
        else:
            self._pause = _SHORTEST

    async def _send_all(self) -> None:
        connection = await asyncpg.connect(
            self._dsn, timeout=_TIMEOUT, command_timeout=_TIMEOUT, statement_cache_size=0
        )
        try:
            for place, receipt in list(self._waiting.items()):
                if await self._send(connection, receipt):
                    del self._waiting[place]
        finally:
            await connection.close(timeout=_TIMEOUT)

    async def _send(self, connection: "asyncpg.Connection[asyncpg.Record]", receipt: Receipt) -> bool:
        """Sends a receipt. Returns whether it is settled and need not be sent again."""
        seal = None if receipt.seal_sha256 is None else bytes.fromhex(receipt.seal_sha256)
        location = _CONTROLS.sub(" ", receipt.location)
        try:
            await connection.execute(
                _QUESTION,
                receipt.store,
                receipt.sink,
                receipt.last,
                receipt.chain,
                seal,
                receipt.retain_until,
                location,
            )
        except asyncpg.PostgresError as error:
            sqlstate: str | None = error.sqlstate
            level = logging.INFO if sqlstate in _LATER else logging.WARNING
            _log.log(
                level, "store %s: the receipt up to number %d was not recorded: %s", receipt.store, receipt.last, error
            )
            return sqlstate == _NEVER
        _log.info("store %s: the database has the receipt up to number %d", receipt.store, receipt.last)
        return True
