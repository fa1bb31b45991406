"""The command line.

Exit status: 0 proved, 1 something is wrong, 2 it could not be determined. "prove" and "index" end with 1 if they had to
leave out part of the archive, which they name.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import sys
import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from . import dump, html, index, proof, prove, report, seals
from .keys import Keys
from .run import Source, Wish, run
from .safe import printable_all
from .storage import Folder

DESCRIPTION = """Says whether what is kept of the trail is complete and unaltered.
Other commands: "prove" makes a proof of one approval or one decision, "index" prepares an archive for quick proofs, "dump" keeps a topic as files.
Exit status: 0 proved, 1 something is wrong, 2 it could not be found out.  "prove" and "index" end with 1 where they had to leave something of the archive out, and name it."""


def _property(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("a property has the form name=value")
    return name, value


def _number(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("numbers begin with 1")
    return value


def _store(text: str) -> str:
    if not seals.UUID.fullmatch(text.lower()):
        raise argparse.ArgumentTypeError("a store's id is a UUID")
    return text.lower()


def _kafka_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bootstrap", metavar="SERVERS", help="Kafka brokers, for --topic")
    parser.add_argument(
        "--property",
        action="append",
        default=[],
        type=_property,
        metavar="NAME=VALUE",
        help="a property of librdkafka, as security.protocol=SSL",
    )


def parser_of_check() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="admin-verify", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--archive",
        action="append",
        default=[],
        metavar="WHERE",
        help="s3://bucket/prefix, or a folder with a copy of it",
    )
    parser.add_argument(
        "--ndjson", action="append", default=[], metavar="DIR", help="the directory of the NDJSON sink, or a copy of it"
    )
    parser.add_argument("--topic-dump", action="append", default=[], metavar="DIR", help='a dump that "dump" made')
    parser.add_argument("--topic", metavar="NAME", help="a topic itself, with --bootstrap")
    _kafka_arguments(parser)
    parser.add_argument("--proof", metavar="FILE", help="check a proof file; needs nothing else but --key")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="FILE",
        help="a public key that you trust (PEM, DER, hex or raw); with --proof also a fingerprint",
    )
    parser.add_argument("--dsn", help="compare the first source with this database, row by row")
    parser.add_argument(
        "--remember", metavar="FILE", help="keep here what was proved, and compare with what was proved before"
    )
    parser.add_argument(
        "--store",
        action="append",
        default=[],
        type=_store,
        metavar="ID",
        help="a store that you mean, as admin.store_id() answers; the ones that it continues are meant, too",
    )
    parser.add_argument(
        "--earlier-removed", action="store_true", help="stores that others continue were removed on purpose"
    )
    parser.add_argument(
        "--since", type=_number, default=1, metavar="NUMBER", help="older documents were removed on purpose"
    )
    parser.add_argument(
        "--seals-only", action="store_true", help="numbers, chain and seals only: do not replay approvals and decisions"
    )
    parser.add_argument(
        "--retain-years",
        type=int,
        default=7,
        metavar="N",
        help="each version of an object has to be locked so long (default 7)",
    )
    parser.add_argument(
        "--max-lag",
        type=float,
        default=15,
        metavar="MINUTES",
        help="how far one source may be behind the other (default 15)",
    )
    parser.add_argument("--tsa-ca", metavar="FILE", help="certificates of the timestamp authority")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON; - for the terminal")
    parser.add_argument("--html", metavar="FILE", help="write the report for a browser")
    return parser


def _sources(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> list[Source]:
    found = [Source("archive", where) for where in arguments.archive]
    found += [Source("ndjson", where) for where in arguments.ndjson]
    found += [Source("topic", where) for where in arguments.topic_dump]
    if arguments.topic:
        if not arguments.bootstrap:
            parser.error("--topic needs --bootstrap")
        found.append(Source("topic", arguments.topic, arguments.bootstrap, dict(arguments.property)))
    if not 1 <= len(found) <= 2:
        parser.error("name one source, or two that are to be compared: --archive, --ndjson, --topic-dump, --topic")
    return found


def check(argv: Sequence[str]) -> int:
    parser = parser_of_check()
    arguments = parser.parse_args(argv)
    if arguments.proof:
        found = proof.check(Path(arguments.proof), Keys(arguments.key), arguments.tsa_ca, arguments.store)
    else:
        memory = Path(arguments.remember) if arguments.remember else None
        found = run(
            Wish(
                _sources(arguments, parser),
                Keys(arguments.key),
                not arguments.seals_only,
                arguments.since,
                arguments.retain_years,
                arguments.tsa_ca,
                arguments.dsn,
                memory,
                timedelta(minutes=arguments.max_lag),
                arguments.store,
                arguments.earlier_removed,
            )
        )
    if arguments.html:
        Path(arguments.html).write_text(html.page(found), encoding="utf-8")
    text = json.dumps(printable_all(found.as_json()), indent=1) if arguments.json else ""
    if arguments.json and arguments.json != "-":
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    print(text if arguments.json == "-" else "\n".join(report.lines(found)))
    return found.status


def make_dump(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="admin-verify dump", description="Keeps a topic as NDJSON files, one for each partition."
    )
    parser.add_argument("--topic", required=True)
    _kafka_arguments(parser)
    parser.add_argument("--output", required=True, metavar="DIR")
    arguments = parser.parse_args(argv)
    if not arguments.bootstrap:
        parser.error("--bootstrap is needed")
    print(
        f"{dump.make(arguments.bootstrap, arguments.topic, dict(arguments.property), Path(arguments.output)):,} records are in {arguments.output}"
    )
    return 0


def make_index(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="admin-verify index",
        description="Prepares a copy of an archive for quick proofs.  Only objects that have no index yet are read.",
    )
    parser.add_argument("--archive", required=True, metavar="DIR")
    parser.add_argument("--index", metavar="DIR", help="where to keep it (default: .index in the archive)")
    arguments = parser.parse_args(argv)
    built = index.build(Folder(Path(arguments.archive)), index.directory_of(Path(arguments.archive), arguments.index))
    print(f"{built.made:,} objects were indexed, {built.kept:,} had an index")
    return _left_out(built.problems, "was not indexed")


def _left_out(problems: list[str], what: str) -> int:
    """Names what could not be read.  Returns the exit status."""
    for problem in problems:
        print(report.printable(f"LEFT OUT: {problem}; what it has {what}."), file=sys.stderr)
    return report.SOMETHING_WRONG if problems else report.PROVED


def make_proof(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="admin-verify prove",
        description="Makes a proof of one approval's whole life, or of one document, which discloses nothing else.",
    )
    parser.add_argument("approval_id", nargs="?", metavar="APP-…")
    parser.add_argument("--number", type=_number, help="one document, by its delivery number")
    parser.add_argument("--store", help="the store of --number, where the archive has several")
    parser.add_argument("--archive", required=True, metavar="DIR")
    parser.add_argument("--index", metavar="DIR", help="where the index is (default: .index in the archive)")
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="FILE",
        required=True,
        help="the archive's public key; it is put into the proof",
    )
    parser.add_argument("--output", metavar="FILE", help="default: the terminal")
    arguments = parser.parse_args(argv)
    if (arguments.approval_id is None) == (arguments.number is None):
        parser.error("name an approval, or --number")
    made = prove.make(
        Path(arguments.archive),
        arguments.index,
        Keys(arguments.key),
        arguments.approval_id,
        arguments.number,
        arguments.store,
    )
    if arguments.output:
        Path(arguments.output).write_text(made.text, encoding="utf-8")
    else:
        sys.stdout.write(made.text)
    return _left_out(made.problems, "is not in the proof")


OBJECTS_PER_COLLECTION = 50_000
"""The documents that are read make no cycles, and looking for some after 700 objects, as Python does, took a tenth of the time."""
COMMANDS = {"prove": make_proof, "index": make_index, "dump": make_dump}


def _unforeseen(error: Exception) -> str:
    """Reports an unforeseen exception. Python's own exit status for an exception is 1, which would be a verdict."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "an unknown place"
    return (
        f"something happened that the verifier does not expect: {type(error).__name__} in {where}: {str(error)[:300]}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal need not have every letter
    try:
        if argv and argv[0] in COMMANDS:
            return COMMANDS[argv[0]](argv[1:])
        return check(argv)
    except (report.CannotLook, OSError) as error:
        said = str(error)
    except Exception as error:
        said = _unforeseen(error)
    print(f"NOT CHECKED: {report.printable(said)}.", file=sys.stderr)
    return report.COULD_NOT_LOOK
