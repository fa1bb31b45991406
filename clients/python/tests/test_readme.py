"""The README's example, as it stands there."""

import asyncio
import os
import pathlib
import re
import sys

from harness import PATHS, sql

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


async def run(tmp_path):
    example = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        example,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "ADMIN_DSN": PATHS["pooled"], "FF_SPOOL": str(tmp_path / "spool")},
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0
    return output


async def test_the_example_does_what_it_says(tmp_path):
    assert await run(tmp_path) == "do not pay: approval_not_found None\nall in the trail: True\n"
    sql("""insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
           values ('APP-100001-abcd', 'payout', 'account 7', '{r}', 1, 'boss', '2100-01-01')""")
    sql("insert into admin.signature (approval_id, signer_role, signer) values ('APP-100001-abcd', 'r', 'ann')")
    assert await run(tmp_path) == "pay\nall in the trail: True\n"
    assert (
        sql(
            "select count(*) from admin.audit where event_type = 'ingest.ptt.ff.approval.consumed' and source = '/ff/pay-1' and payload ->> 'amount' = '100'"
        )
        == 1
    )
    sql("update admin.approval set state = 'withdrawn', closed_at = now() where approval_id = 'APP-100001-abcd'")
    assert await run(tmp_path) == "do not pay: approval_withdrawn None\nall in the trail: True\n"


def test_the_readme_lists_every_reason_of_the_clients():
    from admin_client import Reason

    assert set(re.findall(r"^\| `(\w+)` \| (?:yes|no|) ?\|", README, re.M)) == set(Reason)
