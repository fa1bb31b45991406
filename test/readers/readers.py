"""Readers in Python and jq on a file of documents, and those in other languages; speaks TAP.

Called with the file of documents, one with documents as they were before these rules, of which each reader refuses some, and for each reader in another language
a name and its command, `NAME=COMMAND`, which is called with a file and prints a line for each document: ok, or why not.
"""

import io
import json
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import orjson
import pandas
from cloudevents.core.bindings.kafka import KafkaMessage, from_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.v1.conversion import to_json
from cloudevents.v1.kafka import KafkaMessage as OldMessage, from_structured as old_from_structured
from tap import end, ok

GOOD, REFUSED, OTHERS = (
    pathlib.Path(sys.argv[1]),
    pathlib.Path(sys.argv[2]),
    dict(argument.split("=", 1) for argument in sys.argv[3:]),
)
HEADERS = {"content-type": b"application/cloudevents+json; charset=UTF-8", "admin-ext-position": b"x"}


def by_sdk(line):
    event = JSONFormat().read(None, line.encode())
    again = from_structured(KafkaMessage(headers=HEADERS, key=b"key", value=line.encode()), JSONFormat())
    assert event.get_id() == again.get_id() == json.loads(line)["id"]


def by_old_sdk(line):
    """Version 1 makes attributes of all headers and of the key, so it is given the one header that it needs (doc/kafka.md)."""
    event = old_from_structured(
        OldMessage(headers={"content-type": HEADERS["content-type"]}, key=None, value=line.encode())
    )
    assert event["id"] == json.loads(line)["id"] and to_json(event)


def by_duckdb(text):
    """The file as it is, by the defaults of duckdb's reader, and with data as JSON: how many events, and the newest of our own."""
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        rows = duckdb.sql(f"select source, id, sequence from read_json_auto('{file.name}', maximum_depth=2)").fetchall()
        count = duckdb.sql(f"select count(*) from read_json_auto('{file.name}')").fetchall()
        newest = duckdb.sql(
            f"select max(sequence) from read_json_auto('{file.name}', maximum_depth=2) where starts_with(source, '/admin_ext/')"
        ).fetchall()
    return {(source, id) for source, id, _ in rows}, count[0][0], newest[0][0]


def by_pandas(text):
    return len(pandas.read_json(io.StringIO(text), lines=True, dtype=False))


PYTHON = {
    "Python's json": json.loads,
    "orjson": orjson.loads,
    "the Python SDK 2": by_sdk,
    "the Python SDK's version 1": by_old_sdk,
}
WHOLE = {"duckdb": lambda line: by_duckdb(line + "\n"), "pandas": by_pandas}


def answers_of(reader, lines):
    answers = []
    for line in lines:
        try:
            reader(line)
            answers.append("ok")
        except Exception as error:  # noqa: BLE001 -- what a reader raises is what is asked for
            answers.append(repr(error))
    return answers


def answers_of_command(command, file, lines):
    run = subprocess.run([*command.split(), str(file)], capture_output=True, text=True, timeout=300)
    answers = run.stdout.split("\n")[:-1]
    return answers if len(answers) == len(lines) else [f"{len(answers)} answers: {run.stderr[-500:]}"] * len(lines)


def answers_of_jq(file, lines):
    """A document for each call would take minutes: the good ones at once, the others one by one."""
    if len(lines) > 100:
        run = subprocess.run(["jq", "-c", "[.id, .source]", str(file)], capture_output=True, text=True)
        return [
            ("ok" if json.loads(line)["id"] == json.loads(answer)[0] else answer)
            for line, answer in zip(lines, run.stdout.splitlines())
        ] + [run.stderr] * (len(lines) - len(run.stdout.splitlines()))
    return [
        "ok"
        if (run := subprocess.run(["jq", "-e", ".id"], input=line, capture_output=True, text=True)).returncode == 0
        else run.stderr
        for line in lines
    ]


def judge(name, answers, refused, lines):
    wrong = [(answer[:300], line[:300]) for answer, line in zip(answers, lines) if answer != "ok"]
    ok(not wrong, f"{name} reads each document", (len(wrong), wrong[:3]))
    ok(any(answer != "ok" for answer in refused), f"{name} refuses a document as it was before the rules", refused)


def main():
    lines, refused = (file.read_text(encoding="utf-8").split("\n")[:-1] for file in (GOOD, REFUSED))
    for name, reader in PYTHON.items():
        judge(name, answers_of(reader, lines), answers_of(reader, refused), lines)
    judge("jq", answers_of_jq(GOOD, lines), answers_of_jq(REFUSED, refused), lines)
    for name, command in OTHERS.items():
        judge(name, answers_of_command(command, GOOD, lines), answers_of_command(command, REFUSED, refused), lines)
    # These read a file as one table: a line that they cannot read costs all of it.
    text = "".join(line + "\n" for line in lines)
    events = [json.loads(line) for line in lines]
    newest = max(event["id"].zfill(19) for event in events if event["source"].startswith("/admin_ext/"))
    found = by_duckdb(text)
    ok(
        found == ({(event["source"], event["id"]) for event in events}, len(lines), newest),
        "duckdb reads the file, and finds the newest event by its sequence",
        found[1:],
    )
    ok(by_pandas(text) == len(lines), "pandas reads the file")
    for name, reader in WHOLE.items():
        ok(
            any(answer != "ok" for answer in answers_of(reader, refused)),
            f"{name} refuses a document as it was before the rules",
        )


main()
end()
