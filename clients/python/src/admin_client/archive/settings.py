"""The command line."""

import argparse
import os
import pathlib
import re
from dataclasses import dataclass, field

from admin_client.archive.durations import Retention, seconds, size
from admin_client.archive.errors import Refused
from admin_client.archive.records import is_store

DSN_VARIABLE = "ADMIN_EXT_ARCHIVE_DSN"
_MOST_BUFFER = "32MB"


@dataclass(frozen=True)
class Settings:
    """How one archiver runs."""

    brokers: str
    topic: str
    bucket: str
    prefix: str
    key: pathlib.Path
    group: str = "admin_ext_archive"
    endpoint: str | None = None
    retention: Retention = field(default_factory=lambda: Retention("7y"))
    roll_bytes: int = 64 << 20
    roll_age: float = 300.0
    buffer: int = 32 << 20
    dsn: str | None = None
    tsa: str | None = None
    metrics_port: int | None = None
    kafka_options: dict[str, str] = field(default_factory=dict)
    until_end: bool = False
    accepted: list[tuple[str, int]] = field(default_factory=list)


def kafka_options(path: pathlib.Path) -> dict[str, str]:
    """Reads librdkafka's properties from a file: one name=value a line, # begins a comment. Raises Refused."""
    options = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f'could not read "{path}": {error}') from None
    for number, each in enumerate(lines, 1):
        if not each.strip() or each.lstrip().startswith("#"):
            continue
        name, equals, value = each.partition("=")
        if not equals:
            raise Refused(f'line {number} of "{path}" is not name=value')
        options[name.strip()] = value.strip()
    return options


def _stop(text: str) -> tuple[str, int]:
    store, _, count = text.partition(":")
    if not is_store(store) or not re.fullmatch("[1-9][0-9]{0,5}", count):
        raise argparse.ArgumentTypeError(f'"{text}" is not STORE:STOP, the id of a store and the number of its stop')
    return store, int(count)


def _prefix(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}", text):
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a prefix: at most 200 letters, digits and . _ / -, the first one a letter or a digit'
        )
    return text.rstrip("/") + "/"


def parser() -> argparse.ArgumentParser:
    """The arguments of `python -m admin_client.archive`."""
    main = argparse.ArgumentParser(
        prog="python -m admin_client.archive",
        description="Archives the audit trail: from its Kafka topic to object-locked S3 storage.",
    )
    commands = main.add_subparsers(dest="command", required=True)
    keygen = commands.add_parser("keygen", help="make a key that signs seals, in a file that does not exist yet")
    keygen.add_argument("file", type=pathlib.Path)
    run = commands.add_parser("run", help="archive until SIGTERM")
    run.add_argument("--brokers", required=True, help="host:port, separated by commas")
    run.add_argument("--topic", default="ptt.audit.trail")
    run.add_argument("--bucket", required=True)
    run.add_argument(
        "--prefix", type=_prefix, default="audit/", help="what all keys of the archive begin with (default audit)"
    )
    run.add_argument("--key", type=pathlib.Path, required=True, help="the key file that keygen made")
    run.add_argument(
        "--group", default=Settings.group, help="the consumer group under which offsets are committed as a hint"
    )
    run.add_argument("--endpoint-url", dest="endpoint", help="the storage, where it is not Amazon's")
    run.add_argument(
        "--retain",
        dest="retention",
        type=Retention,
        default=Retention("7y"),
        help="how long objects are locked: 7y (default), 30d",
    )
    run.add_argument(
        "--roll-size",
        dest="roll_bytes",
        type=size,
        default=size("64MB"),
        help="an object ends with the batch that reaches this size, before compression (default 64MB)",
    )
    run.add_argument(
        "--roll-age", type=seconds, default=seconds("5min"), help="and at the latest after this time (default 5min)"
    )
    run.add_argument(
        "--buffer",
        type=size,
        default=size(_MOST_BUFFER),
        help=f"bytes of documents that wait for others (default {_MOST_BUFFER})",
    )
    run.add_argument(
        "--dsn", default=os.environ.get(DSN_VARIABLE), help=f"the database that gets receipts (or {DSN_VARIABLE})"
    )
    run.add_argument("--tsa", help="URL of an RFC 3161 time-stamping authority")
    run.add_argument("--metrics-port", type=int, help="Prometheus metrics on this port of 127.0.0.1")
    run.add_argument("--kafka-config", type=pathlib.Path, help="file of librdkafka properties, name=value: TLS, SASL")
    run.add_argument("--until-end", action="store_true", help="end once everything is sealed that is in the topic now")
    run.add_argument(
        "--accept-broken",
        dest="accepted",
        metavar="STORE:STOP",
        type=_stop,
        action="append",
        default=[],
        help="go on with a stream that has stopped, under the store and the number of the stop that the log names; the archive keeps that it was done",
    )
    return main


def settings(arguments: argparse.Namespace) -> Settings:
    """The settings that a command line gives.  Raises Refused."""
    values = {name: value for name, value in vars(arguments).items() if name not in ("command", "kafka_config")}
    options = kafka_options(arguments.kafka_config) if arguments.kafka_config else {}
    return Settings(**values, kafka_options=options)
