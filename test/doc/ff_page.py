"""Does doc/ff.md say what the sources say: limits, problems, settings?  And the quickstart's path?  Speaks TAP."""

import re

from pages import ROOT, end, ok

PAGE = (ROOT / "doc/ff.md").read_text()


def limits():
    source = (
        (ROOT / "src/ingest/ingest_event.h").read_text()
        + (ROOT / "src/json_value.h").read_text()
        + (ROOT / "src/json_number.h").read_text()
        + (ROOT / "src/text_limits.h").read_text()
    )
    defined = {
        name: eval(value)
        for name, value in re.findall(r"#define (\w+_(?:MAX_BYTES|DEPTH|DIGITS))\s+(\(?[\d *]+\)?)", source)
    }
    told = {
        "id": "INGEST_ID_MAX_BYTES",
        "source": "INGEST_SOURCE_MAX_BYTES",
        "type": "INGEST_TYPE_MAX_BYTES",
        "data": "INGEST_DATA_MAX_BYTES",
    }
    for attribute, name in told.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{attribute}` |"))
        ok(str(defined[name]) in row, f"the limit of {attribute}", row)
    for name in (
        "INGEST_ATTRIBUTES_MAX_BYTES",
        "PERSON_MAX_BYTES",
        "REQUEST_ID_MAX_BYTES",
        "TRACEPARENT_MAX_BYTES",
        "JSON_MAX_DEPTH",
        "JSON_MAX_DIGITS",
    ):
        ok(str(defined[name]) in PAGE, f"{name} is told", defined[name])
    most = re.search(r"#define MOST_EVENTS\s+(\d+)", (ROOT / "src/ingest/ingest.c").read_text()).group(1)
    ok(f"up to {most} CloudEvents" in PAGE, "the page tells how many events a call takes")


def attributes():
    """Each one that is treated in a way of its own is in the table."""
    source = (ROOT / "src/ingest/ingest_event.c").read_text()
    tables = [source[source.index(begin) :].split("};")[0] for begin in ("members[] = {", "texts[] = {")]
    treated = set(re.findall(r'"(\w+)"', "".join(tables)))
    table = PAGE[PAGE.index("| attribute | where it goes") :].split("\n\n")[0]
    listed = set(re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])))
    ok(
        len(treated) > 12 and treated - {"specversion"} == listed,
        "the table lists each attribute that is treated in a way of its own, and no other",
        treated ^ listed,
    )


def problems():
    script = (ROOT / "sql/install/admin_ext/58_sweep.sql").read_text()
    body = script[script.index("create function admin_internal.sweep_jobs(") :].split("\n$$;")[0]
    wanted = {
        re.sub(r"%s", "...", text.replace("''", "'")).rstrip(": ")
        for text in re.findall(r"then (?:format\()?'((?:[^']|'')*)'", body)
    }
    listed = {
        row.rstrip(".: ") for row in re.findall(r"^\| `job \.\.\. of pg_cron does not sweep: (.*?)` \|", PAGE, re.M)
    }
    ok(
        len(wanted) == 6 and listed == wanted,
        "the page lists each reason that keeps a job from sweeping, and no other",
        listed ^ wanted,
    )
    ok(
        "`the worker could not sweep: ...`" in PAGE and "the worker could not sweep: " in script,
        "the page has the message of a worker that could not sweep",
    )


def settings():
    source = (ROOT / "src/settings.c").read_text()
    ok(
        "7 * 86400, 86400, 3650 * 86400" in source and "`admin_ext.ingest_window` (7 days; 1 to 3650)" in PAGE,
        "the page tells default and range of admin_ext.ingest_window",
    )
    ok(
        "&admin_sweep_interval_ms, 60 * 1000, 0, 86400 * 1000" in source
        and "`admin_ext.sweep_interval` (60 s; up to a day)" in PAGE,
        "the page tells default and maximum of admin_ext.sweep_interval",
    )


if __name__ == "__main__":
    limits()
    attributes()
    problems()
    settings()
    ok(
        (ROOT / "test/path.sql").read_text() in (ROOT / "doc/quickstart.md").read_text(),
        "the quickstart shows the path that the demonstration goes",
    )
    end()
