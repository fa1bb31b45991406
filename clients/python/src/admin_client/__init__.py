"""Reference client for admin_ext.

>>> async with AdminClient(Settings(dsn, source="/ff/eu-1", spool="/var/lib/ff/spool")) as admin:
...     if await admin.check("APP-100001-abcd", action="payout", resource="account 7", actor="FF"):
...         pay()
...         await admin.record("ptt.ff.approval.consumed", subject="APP-100001-abcd", data={"amount": 100})

`check` answers within its budget whatever happens, and everything that is no answer is a *deny*.
"""

from .client import AdminClient
from .decision import Decision, Reason, Source
from .events import EventRefused
from .settings import Settings
from .spool import SpoolError

__all__ = ["AdminClient", "Decision", "EventRefused", "Reason", "Settings", "Source", "SpoolError"]
