"""Odd rows of an audited table and odd ingested events, and the documents that come of them.

Called with a seed and a file; writes the documents there, a line for each.  Speaks TAP: numbers in
the documents keep to the rule of doc/kafka.md, and what went in is in them.
"""

import json
import pathlib
import random
import re
import struct
import sys
from decimal import Decimal

import jsonschema
from session import connect, done, ok, one, poll, rows

SEED, FILE = int(sys.argv[1]), pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(__file__).parents[2]
chance = random.Random(SEED)
connection = connect()

TEXTS = [
    "",
    "a",
    "é",
    "\U0001f600",
    "\u2028\u2029",
    "\ufeff",
    "\ufffe\uffff\ufdd0",
    "\x01\x1f\x7f\x85",
    'q"\\/\b\f\n\r\t',
    "</script>",
    "{}",
    "null",
    "NaN",
    "a" * 5000,
    "\u200d\u202e",
    "0" * 40,
]
NUMERICS = [
    "0",
    "-0.00",
    "1",
    "-1.50",
    "0.1",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "12345678901234567890123",
    "123456789012345.678",
    "1e20",
    "1e-20",
    "1e131000",
    "1e400",
    "-1e400",
    "1e308",
    "1e-1000",
    "1" + "0" * 5000,
    "0." + "0" * 4999 + "1",
    "NaN",
    "Infinity",
    "-Infinity",
    "1.0000000000000000000",
    "0.30000000000000004",
]
FLOATS = [
    "0",
    "-0",
    "5e-324",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "0.1",
    "0.30000000000000004",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e22",
    "123456789012345680",
    "1e15",
    "1e16",
]
JSONS = [
    '{"a":1e400}',
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '"\\ud800"',
    '["\\udc00\\ud800"]',
    '{"\\ud800":1}',
    "[" * 1500 + "]" * 1500,
    "[" * 100 + "]" * 100,
    "[" * 101 + "]" * 101,
    '{"a":' * 100 + "1" + "}" * 100,
    "12345678901234567890123",
    "-12345678901234567890123",
    "1" * 5000,
    "0." + "1" * 5000,
    "1e131000",
    "1e-131000",
    "1E400",
    "[1e-400, 5e-324, 1e308, 1.8e308]",
    '"\\u0000"',
    '{"\\u0000":1}',
    '"\\ud83d\\ude00"',
    "-0",
    "-0.0",
    "0e0",
    "[0.1, 0.12345678901234567]",
    "1.0",
    "100000000000000000000",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "[0.5e308, 0.5e39, 0.5e38, -0.5e308, 0e308]",
    ' { "a" : [ 1 , { } ] } ',
    "\n[\n1\r\n]",
    '"\u2028\ufeff\uffff"',
    "true",
    "null",
    '""',
    '{"":{"":[]}}',
    '{"__proto__":{"a":1},"constructor":1}',
    '{"$ref":"x","@type":"y","data":1,"specversion":"1.0"}',
    '"a\\\\u0000"',
    '"a\\/b"',
]
SOURCES = [
    "/ff/eu-1",
    "urn:ff:eu-1",
    "https://ff.invalid:8443/a%20b?q=1#f",
    "http://[::1]:80/",
    "//h",
    "///p",
    "../ff",
    "?q",
    "#f",
    "mailto:a@b",
    "x://u:p@h/",
    "a@b",
    "/%00/%ff",
    "x:/",
    "/!$&'()*+,;=:@-._~",
    ".",
    "/a//b",
]
TIMES = [
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2016-12-31T23:59:60Z",
    "2026-11-23T20:00:00.123456789+01:30",
    "1582-10-10T00:00:00Z",
]
INSTANTS = [
    "0044-03-15 12:00:00+00 BC",
    "infinity",
    "-infinity",
    "0001-01-01",
    "9999-12-31 23:59:59.999999",
    "294276-12-31",
    "1969-12-31 23:59:59.999999",
]


def number_text():
    digits = (
        "".join(chance.choice("0123456789") for _ in range(chance.choice([1, 3, 14, 15, 16, 17, 19, 20, 30]))).lstrip(
            "0"
        )
        or "0"
    )
    fraction = chance.choice(
        ["", "", "." + "".join(chance.choice("0123456789") for _ in range(chance.choice([1, 2, 14, 15, 16])))]
    )
    return (
        chance.choice(["", "-"])
        + digits
        + fraction
        + chance.choice(["", "", "", f"e{chance.choice([-400, -324, -308, -5, 5, 290, 308, 309, 900])}"])
    )


def json_text(depth=0):
    """Any JSON that the server takes, readable or not."""
    kind = chance.randrange(8 if depth < 5 else 4)
    if kind < 2:
        return number_text()
    if kind < 4:
        return chance.choice(
            [json.dumps(chance.choice(TEXTS)), '"\\ud83d\\ude00\\u00e9"', '"\\ud83d"', "true", "false", "null"]
        )
    if kind < 6:
        return "[" + chance.choice([",", " , "]).join(json_text(depth + 1) for _ in range(chance.randrange(5))) + "]"
    names = [
        chance.choice(
            [
                '"a"',
                '"b"',
                '"\\u0061"',
                '"\\n"',
                '"\U0001f600"',
                '"\\ud83d\\ude00"',
                json.dumps(chance.choice(TEXTS)),
                f'"k{chance.randrange(99)}"',
            ]
        )
        for _ in range(chance.choice([0, 1, 2, 3, 20]))
    ]
    return "{" + ",".join(f"{name}:{json_text(depth + 1)}" for name in names) + "}"


def insert(**values):
    names, given = ", ".join(values), ", ".join(["%s"] * len(values))
    return one(connection, f"insert into odd ({names}) values ({given}) returning id", *values.values())


def insert_rows():
    """What went in, by row and column."""
    one(
        connection,
        """set client_min_messages = error; create domain price as numeric; create domain yes as boolean; create type pair as (a numeric, b text);
        create table odd (id bigserial primary key, n numeric, f float8, g float4, t text, c "char", j json, b jsonb, at timestamptz, d date, i interval, bits bytea, o int4range, u uuid, m money,
            p price, y yes, ns numeric[], js json[], grid int[], two pair, "select ""quoted"" \\ \u2028" text); select admin.attach_audit('odd')""",
    )
    given = {}
    for column, values in {
        "n": NUMERICS,
        "f": FLOATS,
        "g": ["0.1", "1e-45", "3.4e38", "NaN"],
        "t": TEXTS,
        "j": JSONS,
        "at": INSTANTS,
        "d": ["0044-03-15 BC", "infinity"],
        "i": ["1 year -2 days 3.5 seconds"],
        "bits": ["\\x00ff"],
        "o": ["[1,5)", "empty"],
        "u": ["00000000-0000-0000-0000-000000000001"],
        "p": NUMERICS[:12],
        "y": ["t", "f"],
        "ns": ["{1,NaN,12345678901234567890123,NULL}"],
        "grid": ["{{1,2},{3,4}}"],
        "two": ['(12345678901234567890123,"a ""b""")'],
        "m": ["12.50"],
        "c": ["x"],
        '"select ""quoted"" \\ \u2028"': ["x"],
    }.items():
        for value in values:
            given[str(insert(**{column: value}))] = (column, value)
    for value in [text for text in JSONS if not re.search(r"\\u0000|ud800|udc00|1e-131000|0[.]1{5000}", text)]:
        given[str(insert(b=value))] = ("b", value)
    for value in JSONS:
        one(connection, "insert into odd (js) values (array[%s::json, '1'])", value)
    for _ in range(500):
        text = json_text()
        given[str(insert(j=text))] = ("j", text)
        given[str(insert(f=repr(struct.unpack("d", chance.randbytes(8))[0])))] = ("f", None)
        number = number_text()
        given[str(insert(n=number))] = ("n", number)
    one(connection, "update odd set t = 'changed', n = -n, j = '[{\"a\": 1e400}]' where id % 3 = 0")
    one(connection, "delete from odd where id % 5 = 0")
    return given


def ingest():
    events = (
        [{"source": source} for source in SOURCES]
        + [{"time": time} for time in TIMES]
        + [{"data": text} for text in TEXTS]
        + [
            {"dataschema": "https://ff.invalid/x?v=1"},
            {"subject": "no approval"},
            {
                "subject": "é \U0001f600",
                "type": "é",
                "tenant": "\U0001f600",
                "n" * 20: "x",
                "dry": False,
                "attempt": -2147483648,
            },
            {"sequence": 9223372036854775806},
            {"partitionkey": "p", "traceparent": "rubbish", "empty": ""},
            {"data": None},
            {},
        ]
    )
    events = [
        {"specversion": "1.0", "id": f"o-{n} é", "source": "/ff/odd", "type": "ptt.ff.odd", **event}
        for n, event in enumerate(events)
    ]
    texts = [json.dumps(event) for event in events]
    readable = [text for text in JSONS if not re.search(r"\\u0000|ud800|udc00|131000|1{5000}|\[{101}", text)]
    texts += [
        f'{{"specversion": "1.0", "id": "j-{n}", "source": "/ff/json", "type": "t", "data": {text}}}'
        for n, text in enumerate(readable + [number_text() for _ in range(200)])
    ]
    answer = one(connection, "select admin.audit_ingest(%s::text::jsonb)", "[" + ",".join(texts) + "]")
    ok(answer["accepted"] == len(texts), f"{len(texts)} odd events are accepted", answer["rejected"][:3])


def documents():
    # Numbers of 19 digits, and every kind of event of our own.
    one(connection, "select setval('admin.audit_audit_id_seq', 999999999999999990)")
    one(connection, "set admin_ext.require_verified_jwt = off")
    one(
        connection,
        """insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values
        ('APP-000002-o', 'pay', '{x}', 1, 'boss', '4713-01-01 00:00:00 BC'), ('APP-000003-o', 'pay', '{x}', 1, 'boss', '294276-12-31 23:59:59.999999 UTC')""",
    )
    for query in (
        "select admin.sweep_expired()",
        "select admin.issue_approval('pay', '{a}', now() + interval '1 day', 'r \u2003\"', 'APP-000001-o', 'ann \U0001f600')",
        "select admin.sign_approval('APP-000001-o', 'a', 'bob', 'a comment \x7f')",
        "select admin.sensitive_check('APP-000001-o', 'pay', 'r', 'ff', 'request \u0085', 'trace')",
        "select admin.sensitive_check(given, null, null, given, given, given) from unnest(array['', ' ', e'a\\nb', e'\\x01\\x1f\\x7f', u&'\\fffe\\+01ffff\\fdd0', '\"\\\U0001f600']) as given",
        "select admin.withdraw_approval('APP-000001-o', 'no', 'ann \U0001f600')",
        "truncate odd",
    ):
        one(connection, query)
    ok(
        poll(
            lambda: one(
                connection, "select not exists (select from admin.audit_delivery where sink_status <> 'delivered')"
            ),
            60,
        ),
        "every row of the trail is delivered",
    )
    directory = pathlib.Path(one(connection, "select current_setting('data_directory')"), "admin_ext")
    return [
        line for file in sorted(directory.glob("*-*.ndjson")) for line in file.read_bytes().decode().split("\n")[:-1]
    ]


def is_plain(text):
    """The rule for numbers, by other means than the server's."""
    if re.fullmatch(r"-?\d+", text):
        return -(2**63) <= int(text) < 2**63
    digits = re.sub(r"e.*", "", text.lower()).replace(".", "").lstrip("-0")
    value = float(text)
    return len(digits) <= 15 and value not in (float("inf"), float("-inf")) and (abs(value) >= 1e-307 or digits == "")


def one_each(pairs):
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise ValueError(f"a member twice: {names}")
    return dict(pairs)


def parse(line):
    """As strictly as can be: numbers by the rule, no member twice, no half of a surrogate pair, no NUL."""
    numbers = []
    event = json.loads(
        line,
        parse_int=lambda text: numbers.append(text) or int(text),
        parse_float=lambda text: numbers.append(text) or float(text),
        parse_constant=lambda name: 1 / 0,
        object_pairs_hook=one_each,
    )
    json.dumps(event, ensure_ascii=False).encode()
    if not all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d{6}Z", event[name]) for name in ("time", "recordedtime")
    ):
        raise ValueError(event["time"])
    wrong = [text for text in numbers if not is_plain(text)]
    if wrong or re.search(r"(?<!\\)(\\\\)*\\u0000", line):
        raise ValueError(f"numbers {wrong[:3]}")
    return event


def check_numbers(events, given):
    """A number that became a string is the same number; a value that became a string is the same text."""
    seen, wrong = 0, []
    for event in events:
        if not event["type"].endswith("row.inserted") or event["data"].get("relation") != "public.odd":
            continue
        column, value = given.get(event["data"]["row"]["id"], (None, None))
        written = event["data"]["row"].get(column)
        seen += column is not None
        if column in ("n", "p") and value.lstrip("-")[0].isdigit() and Decimal(str(written)) != Decimal(value):
            wrong.append((column, value[:60], written))
        elif (
            column == "j"
            and isinstance(written, str)
            and written not in (value, value.strip())
            and json.dumps(written) != json.dumps(json.loads(value))
        ):
            wrong.append((column, value[:60], written[:60]))
    ok(seen >= len(given) and not wrong, f"{seen} values in documents are what went in", (seen, len(given), wrong[:5]))


def main():
    given = insert_rows()
    ingest()
    lines = documents()
    ok(
        len(lines) == one(connection, "select count(*) from admin.audit") and len(lines) > 2000,
        f"each row of the trail has a document: {len(lines)}",
        rows(connection, "select count(*) from admin.audit"),
    )
    schema = json.loads((ROOT / "schema/admin_ext_event.schema.json").read_text())
    events, faults = [], []
    for line in lines:
        try:
            events.append(parse(line))
            jsonschema.validate(events[-1], schema)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is a fault of the document
            faults.append((repr(error)[:200], line[:300]))
    ok(not faults, "every document keeps to the rules and to its schema", faults[:3])
    own = [event for event in events if event["source"].startswith("/admin_ext/")]
    ok(
        [event["id"] for event in sorted(own, key=lambda event: event["sequence"])]
        == [event["id"] for event in sorted(own, key=lambda event: int(event["id"]))],
        "sequence orders as the number does",
    )
    check_numbers(events, given)
    FILE.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")


main()
done()
