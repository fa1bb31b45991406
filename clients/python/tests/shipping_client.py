"""Records events until it is killed; prints the id of each that it was promised.  Run by test_shipping.py."""

import asyncio
import sys

from admin_client import AdminClient, Settings


async def main(dsn, spool, source):
    async with AdminClient(Settings(dsn=dsn, spool=spool, source=source, backoff_seconds=0.5)) as admin:

        async def recorder():
            while True:
                print(await admin.record("ptt.ff.done", {"text": "x" * 300}), flush=True)

        await asyncio.gather(*(recorder() for _ in range(8)))


asyncio.run(main(*sys.argv[1:]))
