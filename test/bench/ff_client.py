"""What FF's reference client costs: beside a bare asyncpg call of the same function, and through a pooler."""
import asyncio
import os
import statistics
import time

import asyncpg
from admin_client import AdminClient, Settings

from core import ID, ROUNDS, SECONDS, alternate, ensure_checker, report, sql

CONNECTIONS = 16
RATE = int(os.environ.get("BENCH_FF_RATE", "800"))
CALL = "select admin.sensitive_check($1, $2, $3, $4, $5, $6, $7)"
