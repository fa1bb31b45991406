"""A dump of a topic: NDJSON files with a line for each record, and the command that makes one.

{"topic": "…", "partition": n, "offset": n, "timestamp": ms, "key": base64 | null, "headers": [["name", base64 | null], …], "value": base64 | null}
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from .optional import needed
from .report import CannotLook
from .safe import Unreadable, lines_of, load_json

BUFFER = 1 << 18
"""Lines are longer than a file's usual buffer has room for many."""
POLL_SECONDS = 10.0
SILENT_POLLS = 6
REGISTRY_BYTES = 5
OWN_HEADERS = b"admin-ext-"
MOST = 2**63 - 1


class Record(NamedTuple):
    """One record of a topic, as far as the verifier looks at it.  at and size: where its value is written in its line; size is 0 where the whole line has to be read for it.

    headers has those whose name begins with OWN_HEADERS."""

    partition: str
    offset: int
    timestamp: int
    headers: dict[bytes, bytes]
    value: bytes | None
    at: int = 0
    size: int = 0


_QUADS = rb"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?+"
_BASE64 = rb'(?:null|"' + _QUADS + rb'")'
_WHOLE = rb"(0|[1-9][0-9]{0,17})"
_HEADER = rb'\["[A-Za-z0-9._-]+",' + _BASE64 + rb"\]"
LINE = re.compile(
    rb'\{"topic":"([A-Za-z0-9._-]*)","partition":'
    + _WHOLE
    + rb',"offset":'
    + _WHOLE
    + rb',"timestamp":'
    + _WHOLE
    + rb',"key":(?:null|"[A-Za-z0-9+/=]*")'
    + rb',"headers":\[((?:'
    + _HEADER
    + rb'(?:,(?=\[)|(?=\])))*+)\],"value":(?:null|"([A-Za-z0-9+/]*+={0,2})")\}\n'
)
"""A line as line_of() writes it.  Groups: topic, partition, offset, timestamp, headers, value.  That the value's length is a multiple of four is for the caller to see: then it is base64."""
OWN_HEADER = re.compile(rb'\["(' + OWN_HEADERS + rb'[A-Za-z0-9._-]*)",(?:null|"([A-Za-z0-9+/=]*)")\]')


def decoded(text: bytes | str | None) -> bytes | None:
    return None if text is None else binascii.a2b_base64(text, strict_mode=True)


def without_prefix(value: bytes | None) -> bytes | None:
    """A value without what a schema registry puts in front of it."""
    return value[REGISTRY_BYTES:] if value is not None and value[:1] == b"\0" else value


def parse(line: bytes, most: int | None = None) -> Record:
    """most: so many characters of the value in base64 are decoded, a multiple of four.  Raises ValueError, KeyError or TypeError."""
    form = LINE.fullmatch(line)
    if form is None:
        return _parse_any(line)
    topic, partition, offset, stamp, headers, value = form.groups()
    at, end = form.span(6)
    if value is not None and (end - at) % 4:
        return _parse_any(line)
    if value is not None:
        value = without_prefix(decoded(value if most is None else value[:most]))
    return Record(
        _partition(topic, partition),
        int(offset),
        int(stamp),
        _headers(OWN_HEADER.findall(headers)),
        value,
        at,
        end - at,
    )


def _parse_any(line: bytes) -> Record:
    """A line in any other form that JSON allows."""
    record = load_json(line)
    named = ((str(name).encode(errors="replace"), decoded(content)) for name, content in record["headers"])
    headers = _headers(
        (name, base64.b64encode(content or b"")) for name, content in named if name.startswith(OWN_HEADERS)
    )
    return Record(
        f"{record.get('topic', '')}/{_whole(record['partition'])}",
        _whole(record["offset"]),
        _whole(record.get("timestamp") or 0),
        headers,
        without_prefix(decoded(record["value"])),
    )


def _headers(found: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, content in found:
        if name in headers:
            raise Unreadable(f"header {name.decode()} is there twice")
        headers[name] = binascii.a2b_base64(content, strict_mode=True)
    return headers


@lru_cache(maxsize=1000)
def _partition(topic: bytes, partition: bytes) -> str:
    return f"{topic.decode()}/{int(partition)}"


def _whole(number: Any) -> int:
    if type(number) is not int or abs(number) > MOST:
        raise Unreadable(f"{str(number)[:40]} is no number of a partition, an offset or a time")
    return number


def files(where: str) -> list[Path]:
    path = Path(where)
    if path.is_file():
        return [path]
    found = sorted(path.glob("*.ndjson")) if path.is_dir() else []
    if not found:
        raise CannotLook(f'there is no dump of a topic at "{where}"')
    return found


def records(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Place, length and text of each line."""
    at = 0
    with path.open("rb", BUFFER) as file:
        for line in lines_of(file):
            yield at, len(line), line
            at += len(line)


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def line_of(
    topic: str,
    partition: int,
    offset: int,
    timestamp: int,
    key: bytes | None,
    headers: list[tuple[str, bytes | None]],
    value: bytes | None,
) -> bytes:
    """A record as a dump has it."""
    return (
        json.dumps(
            {
                "topic": topic,
                "partition": partition,
                "offset": offset,
                "timestamp": timestamp,
                "key": _encoded(key),
                "headers": [[name, _encoded(content)] for name, content in headers],
                "value": _encoded(value),
            },
            separators=(",", ":"),
        ).encode()
        + b"\n"
    )


def read_topic(servers: str, topic: str, properties: dict[str, str]) -> Iterator[Any]:
    """All committed records of a topic up to its end as it is now."""
    kafka = needed("confluent_kafka", "confluent-kafka", "a topic (unlike a dump of it)")
    consumer = kafka.Consumer(
        {
            **properties,
            "bootstrap.servers": servers,
            "group.id": "admin-verify",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        found = consumer.list_topics(topic, timeout=POLL_SECONDS).topics[topic]
        if found.error is not None:
            raise CannotLook(f'topic "{topic}" cannot be read: {found.error}')
        waiting = set(found.partitions)
        consumer.assign([kafka.TopicPartition(topic, partition, kafka.OFFSET_BEGINNING) for partition in waiting])
        silent = 0
        while waiting:
            message = consumer.poll(POLL_SECONDS)
            if message is None:
                silent += 1
                if silent == SILENT_POLLS:
                    raise CannotLook(f'topic "{topic}": the broker sends nothing')
            elif message.error() is None:
                silent = 0
                yield message
            elif message.error().code() == kafka.KafkaError._PARTITION_EOF:
                waiting.discard(message.partition())
            else:
                raise CannotLook(f'topic "{topic}" cannot be read: {message.error()}')
    except kafka.KafkaException as error:
        raise CannotLook(f'topic "{topic}" cannot be read: {error}') from error
    finally:
        consumer.close()


def make(servers: str, topic: str, properties: dict[str, str], directory: Path) -> int:
    """Writes a dump, one file for each partition.  Returns the number of records."""
    directory.mkdir(parents=True, exist_ok=True)
    count = 0
    with ExitStack() as stack:
        out: dict[int, IO[bytes]] = {}
        for message in read_topic(servers, topic, properties):
            partition = message.partition()
            if partition not in out:
                out[partition] = stack.enter_context((directory / f"{topic}.{partition}.ndjson").open("wb"))
            out[partition].write(
                line_of(
                    topic,
                    partition,
                    message.offset(),
                    message.timestamp()[1],
                    message.key(),
                    message.headers() or [],
                    message.value(),
                )
            )
            count += 1
    return count
