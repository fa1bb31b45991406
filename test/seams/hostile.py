"""Thousands of events of any shape, held against the rules as doc/ff.md has them: what is sound is stored and
delivered as it came, what is not is named, and nothing raises."""

import json
import os
import pathlib
import random
import re
from datetime import datetime, timedelta

import jsonschema
from session import connect, done, error, ok, one, poll, rows

COUNT = int(os.environ.get("EVENTS", "6000"))
seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
print(f"# seed {seed}, {COUNT} events")
chance = random.Random(seed)
SCHEMA = json.loads((pathlib.Path(__file__).parents[2] / "schema/admin_ext_event.schema.json").read_text())


class Number:
    """A number by its digits, as JSON has them."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def to_json(thing):
    return re.sub(r'"@@([^@]*)@@"', r"\1", json.dumps(thing, default=lambda number: f"@@{number.text}@@"))


STRINGS = [
    "",
    "a",
    "é",
    "\U0001f600",
    "\u2028",
    'q"',
    "\\",
    "\n\r\t",
    "\x01",
    "\x7f",
    "a" * 64,
    "a" * 256,
    "a" * 257,
    "ü" * 128,
    "ü" * 129,
    "a" * 512,
    "a" * 513,
    "admin_ext",
    "admin_ext ",
    "/admin_ext/",
    "/admin_ext",
    "APP-000001-a",
    "APP-000001-",
    "APP-000001-" + "a" * 60,
    '"auditid":"1"',
    '","data":{}',
    "null",
    "x" * 9000,
    "\x85",
    "\ufdd0",
    "\ufffe",
    "\U0010ffff",
    "\U0001fffe",
    "\ufffd",
    "/ff/a b",
    "/ff/%zz",
    "/ff/%2f?q#f",
    "/ff/{id}",
    ":x",
    "urn:x:y",
    "https://ff.invalid/x?y",
    "urn:x#y",
    "x:",
    "X:y",
    "/a#",
]
# Control characters, and what Unicode calls noncharacters.
FORBIDDEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\ufdd0-\\ufdef"
    + "".join(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
NUMBERS = [
    "0",
    "-0",
    "1",
    "17",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "9223372036854775806",
    "9223372036854775807",
    "1.5",
    "1e3",
    "1e999",
    "1e1000",
    "1e131000",
    "1e-1000",
    "1e-1001",
    "1.0",
]
TIMES = [
    "2026-11-23T20:00:00Z",
    "2026-11-23T20:00:00.123456789+01:30",
    "2026-02-29T00:00:00Z",
    "2024-02-29T23:59:60Z",
    "2026-11-23",
    "now",
    "2026-11-23T24:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-01:00",
    "2026-11-23 20:00:00z",
    "2026-11-23T20:00:00",
]
NAMES = [
    "id",
    "source",
    "type",
    "specversion",
    "subject",
    "time",
    "sequence",
    "datacontenttype",
    "dataschema",
    "data",
    "data_base64",
    "actor",
    "requestid",
    "traceparent",
    "partitionkey",
    "auditid",
    "recordedtime",
    "tenant",
    "x1",
    "Tenant",
    "a b",
    "",
    "é",
    "n" * 64,
    "n" * 65,
]


def number():
    return Number(chance.choice(NUMBERS))


def value(depth=0):
    kind = chance.randrange(9 if depth < 3 else 6)
    if kind < 3:
        return chance.choice(STRINGS)
    if kind == 3:
        return number()
    if kind == 4:
        return chance.choice([True, False, None])
    if kind == 5:
        return chance.choice(TIMES)
    if kind == 6:
        return [value(depth + 1) for _ in range(chance.randrange(4))]
    if kind == 7:
        return {chance.choice(STRINGS[:12]): value(depth + 1) for _ in range(chance.randrange(4))}
    nested = []
    for _ in range(chance.choice([98, 99, 100, 101, 500]) - depth):
        nested = [nested]
    return nested


def event(n):
    """A sound one, with some of it changed."""
    sound = {
        "specversion": "1.0",
        "id": f"h-{n}",
        "source": f"/ff/{chance.randrange(3)}",
        "type": "ptt.ff.x",
        "data": value(),
    }
    for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
        name = chance.choice(NAMES)
        sound[name] = (
            chance.choice([chance.choice(TIMES), value()])
            if name == "time"
            else "1.0"
            if name == "specversion" and chance.random() < 0.5
            else chance.choice(["application/json", value()])
            if name == "datacontenttype"
            else value()
        )
    if chance.random() < 0.1:
        sound.pop(chance.choice(list(sound)))
    return sound if chance.random() < 0.97 else value()


def size(text):
    return len(text.encode())


def is_string(thing, most):
    return isinstance(thing, str) and 1 <= size(thing) <= most and not FORBIDDEN.search(thing)


def is_reference(text):
    """Of the strings above: none has an authority with anything odd in it."""
    character = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})"
    colon_first = ":" in re.split("[/?#]", text)[0]
    return (
        re.fullmatch(f"{character}*(#{character}+)?", text) is not None
        and text != ""
        and (not colon_first or re.match(r"[a-z][a-z0-9+.-]*:[^#]", text) is not None)
    )


def is_absolute(text):
    return re.match(r"[a-z][a-z0-9+.-]*:", text) is not None and "#" not in text and is_reference(text)


def digits(thing):
    """The number without an exponent; None when it has too many digits."""
    sign, whole, fraction, exponent = re.fullmatch(r"(-?)(\d+)(?:\.(\d+))?(?:e(-?\d+))?", thing.text).groups()
    exponent = int(exponent or 0)
    scale = max(len(fraction or "") - exponent, 0)
    if scale > 1000 or (int(whole + (fraction or "")) and len(str(int(whole))) + exponent > 1000):
        return None
    number = int(whole + (fraction or "")) * 10 ** max(exponent - len(fraction or ""), 0)
    return f"{sign if number else ''}{number}" if scale == 0 else sign + "fraction"


def is_keepable(data, depth=0):
    if isinstance(data, Number):
        return digits(data) is not None
    if isinstance(data, (list, dict)):
        return depth < 100 and all(
            is_keepable(each, depth + 1) for each in (data if isinstance(data, list) else data.values())
        )
    return True


def is_time(text):
    parts = (
        re.fullmatch(
            r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", text
        )
        if isinstance(text, str)
        else None
    )
    if not parts or int(parts[6]) > 60:
        return False
    try:
        at = datetime(*map(int, parts.group(1, 2, 3, 4, 5)))
        at += timedelta(
            seconds=int(parts[6]),
            minutes=(-1 if parts[8] == "+" else 1) * (60 * int(parts[9] or 0) + int(parts[10] or 0)),
        )
    except (ValueError, OverflowError):
        return False
    return at.year <= 9999


def is_sequence(thing):
    text = (
        thing
        if isinstance(thing, str) and 1 <= size(thing) <= 64
        else digits(thing)
        if isinstance(thing, Number)
        else None
    )
    return text is not None and re.fullmatch(r"[0-9]+", text) is not None and int(text) <= 2**63 - 2


def is_extension(thing):
    return (
        isinstance(thing, bool)
        or (isinstance(thing, str) and not FORBIDDEN.search(thing))
        or (
            isinstance(thing, Number)
            and re.fullmatch(r"-?\d+", digits(thing) or "") is not None
            and -(2**31) <= int(digits(thing)) < 2**31
        )
    )


RULES = {
    "specversion": lambda v: v == "1.0",
    "id": lambda v: is_string(v, 256),
    "type": lambda v: is_string(v, 256),
    "time": is_time,
    "sequence": is_sequence,
    "data": is_keepable,
    "source": lambda v: is_string(v, 512) and is_reference(v) and not re.match(r"/*admin_ext(/|\Z)", v, re.IGNORECASE),
    "datacontenttype": lambda v: v == "application/json",
    "data_base64": lambda v: False,
    "auditid": lambda v: False,
    "recordedtime": lambda v: False,
    **{name: lambda v: is_string(v, 256) for name in ("actor", "requestid", "traceparent")},
    "dataschema": lambda v: is_string(v, 8000) and is_absolute(v),
    **{name: lambda v: is_string(v, 8000) for name in ("subject", "partitionkey")},
}


def is_sound(thing):
    if not isinstance(thing, dict) or not {"specversion", "id", "source", "type"} <= {
        name for name, given in thing.items() if given is not None
    }:
        return False
    for name, given in thing.items():
        if name not in RULES and not re.fullmatch(r"[a-z0-9]{1,64}", name):
            return False
        if (given is not None or name == "data") and not (RULES[name](given) if name in RULES else is_extension(given)):
            return False
    return all(size(given) < 8000 for name, given in thing.items() if isinstance(given, str) and name != "data")


connection = connect()
events, answers = [event(n) for n in range(COUNT)], []
for i in range(0, COUNT, 50):
    batch = events[i : i + 50]
    state, answer = error(connection, "select admin.audit_ingest(%s)::text", to_json(batch))
    if state != "none":
        ok(False, "a batch raises nothing", (state, answer[:300], batch))
        break
    answer = json.loads(answer)
    refused = {rejected["index"]: rejected for rejected in answer["rejected"]}
    answers += [refused.get(n) for n in range(len(batch))]
    if answer["accepted"] + answer["duplicates"] + len(refused) != len(batch):
        ok(False, "each event of a batch is accepted, a duplicate or rejected", answer)
sound = [is_sound(e) for e in events]
known, wrong = {}, []
for e, s, a in zip(events, sound, answers):
    # An id that is known is taken again with the content that it had, and with no other.
    is_other = (
        s
        and a is not None
        and "was recorded with other content" in a["error"]
        and known.get((e["source"], e["id"]), e) != e
    )
    if s != (a is None) and not is_other:
        wrong.append((e, a))
    if s and a is None:
        known.setdefault((e["source"], e["id"]), e)
ok(len(answers) == COUNT and 0.2 < sum(sound) / COUNT < 0.9, f"{sum(sound)} of {COUNT} events are sound")
ok(wrong == [], "audit_ingest accepts the sound events, and no others", [(str(e)[:600], a) for e, a in wrong[:3]])
ok(
    all(a is None or (a["error"] and (a["id"] is None or isinstance(a["id"], str))) for a in answers),
    "each rejected event has a reason",
)
ok(
    poll(
        lambda: one(
            connection, "select not exists (select from admin.audit_delivery where sink_status <> 'delivered')"
        ),
        60,
    ),
    "every row of the trail is delivered",
)
lines = [
    line
    for file in pathlib.Path(os.environ["SCRATCH"], "data/admin_ext").glob("*-*.ndjson")
    for line in file.read_bytes().splitlines()
]
documents = [
    json.loads(line, object_pairs_hook=lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else 1 / 0)
    for line in lines
]
for document in documents:
    jsonschema.validate(document, SCHEMA)
ok(
    len(documents) == one(connection, "select count(*) from admin.audit"),
    f"{len(documents)} documents of one line, valid by the schema, without a name twice",
)
given = {(e["source"], e["id"]): e for e, s in reversed(list(zip(events, sound))) if s}
kept = {(d["source"], d["id"]): d for d in documents}
changed = [
    (name, given[name], kept[name])
    for name in given
    if any(
        kept[name].get(key) != given[name][key]
        for key in given[name]
        if isinstance(given[name][key], (str, bool)) and key not in ("time", "datacontenttype")
    )
]
ok(
    kept.keys() == given.keys(),
    "each source and id that was accepted has a document, and no other has one",
    len(kept.keys() ^ given.keys()),
)
ok(changed == [], "each document has the attributes that its event came with", [str(c)[:900] for c in changed[:2]])

# Where a text may be any bytes: two ids must not be delivered as one.
one(connection, "create database bytes encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'")
bytes_ = connect(dbname="bytes")
one(bytes_, "set client_min_messages = error; create extension admin_ext")
answer = rows(
    bytes_,
    r"""select a -> 'accepted', a #>> '{rejected,0,error}' from admin.audit_ingest(jsonb_build_array(jsonb_build_object('specversion', '1.0', 'source', '/ff', 'type', 't', 'id', e'a\377'),
    jsonb_build_object('specversion', '1.0', 'source', '/ff', 'type', 't', 'id', e'\303\244'))) as a""",
)
ok(answer == [(1, '"id" is not UTF-8')], "in a database without an encoding what is no UTF-8 is refused", answer)
for member, value, words in (
    ("ext", r"to_jsonb(e'a\377'::text)", '"ext" is not UTF-8'),
    ("data", r"to_jsonb(e'a\377'::text)", '"data" cannot be kept: it is not UTF-8'),
    ("data", r"jsonb_build_object('n', jsonb_build_array(e'\342\202'))", '"data" cannot be kept: it is not UTF-8'),
    ("data", r"jsonb_build_object(e'n\377', 1)", '"data" cannot be kept: it is not UTF-8'),
):
    answer = rows(
        bytes_,
        f"""select a -> 'accepted', a #>> '{{rejected,0,error}}' from admin.audit_ingest(jsonb_build_array(jsonb_build_object(
        'specversion', '1.0', 'source', '/ff', 'type', 't', 'id', 'm', '{member}', {value}))) as a""",
    )
    ok(answer == [(0, words)], f"in a database without an encoding {member} = {value} is refused", answer)
done()
