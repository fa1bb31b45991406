"""Makes FF's own events, and refuses early the events that the trail could not keep."""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .uris import is_uri, is_uri_reference

# As doc/ff.md has them.
DATA_MAX_BYTES = 262144
TEXT_MAX_BYTES = {"type": 256, "subject": 4096, "actor": 256, "requestid": 256, "traceparent": 256}

CACHED_CHECK = "ptt.ff.check.cached"
"""A valid answer was repeated: `data` names the row of the answer and the question."""
REFUSED_EVENT = "ptt.ff.event.refused"
"""Takes the number of an event that the trail has refused: `data` names it and the reason."""

MOST_ATTRIBUTES_BYTES = 8192
# Extension attributes that the trail sets itself, and those that have their own column.
RESERVED = {
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "datacontenttype",
    "dataschema",
    "data",
    "sequence",
    "actor",
    "requestid",
    "traceparent",
    "auditid",
    "recordedtime",
    "partitionkey",
}
_ATTRIBUTE = re.compile("[a-z0-9]{1,20}")

# An odd number of backslashes makes it an escape.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class EventRefused(ValueError):
    """An event that the trail would not take; the message names what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent as JSON, without its sequence number."""

    id: str
    text: str

    def numbered(self, sequence: int) -> str:
        """Returns the complete document with this sequence number."""
        return f'{self.text[:-1]},"sequence":"{sequence}"}}'


def make_event(
    source: str,
    type: str,
    data: Any,
    *,
    dataschema: str | None = None,
    extensions: Mapping[str, str] | None = None,
    **texts: str | None,
) -> Event:
    """Makes an event of the current time with a new id.

    texts: subject, actor, requestid and traceparent, if known. dataschema: the URI of data's schema. extensions: more
    attributes, by name.

    Raises EventRefused if the values do not form a CloudEvent.
    """
    if not is_uri_reference(source):
        raise EventRefused(f"source is no URI reference (RFC 3986): {source[:64]!r}")
    attributes: dict[str, Any] = {"type": type, **{name: text for name, text in texts.items() if text is not None}}
    for name, text in attributes.items():
        _check_text(name, text)
    if dataschema is not None:
        if not isinstance(dataschema, str) or not is_uri(dataschema):
            raise EventRefused(f"dataschema is no URI with a scheme (RFC 3986): {dataschema!r:.64}")
        attributes["dataschema"] = dataschema
    if extensions:
        attributes |= _check_extensions(extensions)
    event_id = uuid.uuid4().hex
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    head = {"specversion": "1.0", "id": event_id, "source": source, "time": time, **attributes}
    return Event(event_id, f'{_to_json(head)[:-1]},"data":{_check_data(data)}}}')


def _check_extensions(extensions: Mapping[str, str]) -> dict[str, str]:
    for name, text in extensions.items():
        if not isinstance(name, str) or not _ATTRIBUTE.fullmatch(name):
            raise EventRefused(
                f"extensions: {name!r:.64} is not the name of an attribute: 1 to 20 lower-case letters and digits"
            )
        if name in RESERVED:
            raise EventRefused(f"extensions: {name} is not an extension: it has a place of its own, or is the trail's")
        if not isinstance(text, str) or not text:
            raise EventRefused(f"extensions: {name} is not a string of at least one character: {text!r:.64}")
        if "\0" in text:
            raise EventRefused(f"extensions: {name} has a NUL in it: {text[:64]!r}")
        _check_unicode(name, text)
    if len(_to_json(dict(extensions)).encode()) > MOST_ATTRIBUTES_BYTES:
        raise EventRefused(f"extensions are more than {MOST_ATTRIBUTES_BYTES} bytes of JSON")
    return dict(extensions)


def _check_text(name: str, text: Any) -> None:
    if not isinstance(text, str):
        raise EventRefused(f"{name} is not a string: {text!r:.64}")
    if not 1 <= len(text.encode(errors="replace")) <= TEXT_MAX_BYTES[name]:
        raise EventRefused(f"{name} has to have 1 to {TEXT_MAX_BYTES[name]} bytes: {text[:64]!r}")
    if "\0" in text:
        raise EventRefused(f"{name} has a NUL in it: {text[:64]!r}")
    _check_unicode(name, text)


def _check_unicode(name: str, text: str) -> int:
    """Returns the length in bytes of UTF-8. Raises EventRefused for half a surrogate pair."""
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise EventRefused(f"{name} has half a surrogate pair in it: {error.object[error.start]!r}") from None


def _check_data(data: Any) -> str:
    try:
        text = _to_json(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise EventRefused(f"data is not JSON: {error}") from error
    if _check_unicode("data", text) > DATA_MAX_BYTES:
        raise EventRefused(f"data is more than {DATA_MAX_BYTES} bytes of JSON")
    if _NUL.search(text):
        raise EventRefused("data has a NUL in it, which the trail cannot keep")
    return text


def _to_json(thing: Any) -> str:
    return json.dumps(thing, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
