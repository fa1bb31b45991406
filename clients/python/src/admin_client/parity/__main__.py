"""python -m admin_client.parity: files and random stores through both engines, and a report.

Exit status: 0 no difference, 1 something differs or was left out, 2 it could not be found out.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import asyncpg

from . import instants, report, store
from .database import live, scratch
from .run import Outcome, run_document, run_live, run_random

RANDOM_CASES = 10000
Texts = Sequence[tuple[str, str]]  # a file's name, and what is in it


class Unanswered(Exception):
    """A database could not be asked."""


def instant(text: str) -> datetime:
    try:
        return instants.instant(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def number(text: str) -> int:
    if (value := int(text)) < 0:
        raise ValueError
    return value


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m admin_client.parity",
        description="Holds the database's decisions against a file-backed engine's, byte for byte save evaluated_at and audit.",
        epilog="Needs a superuser of a server with admin_ext installed, and works in scratch databases that it makes and drops; with --live, a role with the access auditor. Exit status: 0 no difference, 1 something differs or is left out, 2 error.",
    )
    parser.add_argument("--dsn", help="the server, as postgresql://...; otherwise PGHOST, PGUSER and so on")
    parser.add_argument(
        "--fixtures",
        metavar="FILE",
        action="append",
        default=[],
        help="approvals with what is expected of them, as fixtures/approval_examples.json",
    )
    parser.add_argument("--store", metavar="FILE", action="append", default=[], help="a file-backed store's document")
    parser.add_argument(
        "--cases", metavar="N", type=number, help=f"random cases; {RANDOM_CASES} where no file is named, otherwise none"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, help="of the random stores; otherwise one by chance, which is shown"
    )
    parser.add_argument(
        "--at",
        metavar="INSTANT",
        type=instant,
        nargs="+",
        action="extend",
        default=[],
        help="instants to ask for, RFC 3339, UTC where no zone is named: of files besides the load and each deadline, of random stores alone",
    )
    parser.add_argument(
        "--live",
        metavar="DSN",
        help="asks this database, which holds what --store was imported from, instead of a scratch database; puts nothing into it",
    )
    parser.add_argument(
        "--record",
        metavar="DSN",
        help="records the outcome in this database, where admin.cutover_readiness shows it; a role with the access operator",
    )
    parser.add_argument("--html", metavar="FILE", help="writes the report as a page, too")
    chosen = parser.parse_args(argv)
    if chosen.live is not None and (not chosen.store or chosen.fixtures or chosen.cases):
        parser.error("--live goes with --store alone: it asks of a file's approvals where they have been imported")
    if chosen.cases == 0 and not chosen.fixtures and not chosen.store:
        parser.error("nothing is to be compared: --cases is 0, and no file is named")
    if chosen.html and not Path(chosen.html).absolute().parent.is_dir():
        parser.error(f"--html: {str(Path(chosen.html).parent)!r} is no directory")
    if chosen.cases is None:
        chosen.cases = 0 if chosen.fixtures or chosen.store else RANDOM_CASES
    if chosen.seed is None:
        chosen.seed = random.SystemRandom().randrange(1 << 31)
    return chosen


@contextmanager
def told_of(option: str, access: str | None = None) -> Iterator[None]:
    """Makes an error of a database name the option by which it was reached, and the access that its role may lack."""
    try:
        yield
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        lacks = (
            f"; its role needs the access {access}"
            if access and isinstance(error, asyncpg.InsufficientPrivilegeError)
            else ""
        )
        raise Unanswered(f"{option}: {error or type(error).__name__}{lacks}") from error


def progress(what: str) -> Callable[[int], None]:
    """Returns a function that prints every few seconds how far a long run is."""
    told = time.monotonic()

    def tell(done: int) -> None:
        nonlocal told
        if time.monotonic() - told >= 3:
            told = time.monotonic()
            print(f"parity: {what}: {done} asked", file=sys.stderr, flush=True)

    return tell


async def record(dsn: str, outcome: Outcome) -> None:
    """Records the outcome in a database."""
    cases, differences, left_out = outcome.counts
    report = {
        "server": outcome.server,
        "seed": outcome.seed,
        "stores": dict(outcome.stores),
        "approvals": outcome.approvals,
        "groups": dict(outcome.groups),
        "seconds": round(outcome.seconds, 3),
    }
    with told_of("--record", "operator"):
        async with live(dsn) as db:
            run_id = await db.record(cases, differences, left_out, report)
    print(f"parity: recorded as run {run_id}", file=sys.stderr)


async def run(chosen: argparse.Namespace) -> Outcome:
    outcome = Outcome()
    texts = [(path, Path(path).read_text(encoding="utf-8-sig")) for path in chosen.fixtures + chosen.store]
    if chosen.live is not None:
        with told_of("--live", "auditor"):
            await run_in_use(chosen, texts, outcome)
    else:
        with told_of("--dsn"):
            await run_in_scratch(chosen, texts, outcome)
    outcome.seconds = time.monotonic() - outcome.clock
    return outcome


async def run_in_use(chosen: argparse.Namespace, texts: Texts, outcome: Outcome) -> None:
    async with live(chosen.live) as db:
        outcome.server = await db.versions()
        for path, text in texts:
            await run_live(db, path, text, chosen.at, outcome, progress(report.visible(path)))


async def run_in_scratch(chosen: argparse.Namespace, texts: Texts, outcome: Outcome) -> None:
    for index, (path, text) in enumerate(texts):  # each file alone: two files may name the same approvals
        async with scratch(chosen.dsn, f"file{index}") as db:
            outcome.server = await db.versions()
            await run_document(db, path, text, chosen.at, outcome, progress(report.visible(path)))
    if not chosen.cases:
        return
    async with scratch(chosen.dsn, "sound") as sound, scratch(chosen.dsn, "forged") as forged:
        await forged.lift_constraints()
        outcome.server = await sound.versions()
        asked = progress(f"of {chosen.cases} random cases")
        await run_random(sound, forged, chosen.seed, chosen.cases, outcome, asked, chosen.at)


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    try:
        outcome = asyncio.run(run(chosen))
        print(report.terminal(outcome), end="", flush=True)
        if chosen.html:
            Path(chosen.html).write_text(report.page(outcome), encoding="utf-8")
        if chosen.record is not None:
            asyncio.run(record(chosen.record, outcome))
    except (OSError, UnicodeDecodeError, store.Unreadable, Unanswered) as error:
        print(f"parity: {report.visible(error)}", file=sys.stderr)
        return 2
    return 0 if outcome.equal else 1


if __name__ == "__main__":
    sys.exit(main())
