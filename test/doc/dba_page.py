"""Does doc/dba.md say what the sources say: settings, states, accesses, payloads, limits?  Speaks TAP."""

import re

from pages import ROOT, end, ok

PAGE = (ROOT / "doc/dba.md").read_text()
SCRIPT = "".join(path.read_text() for path in sorted((ROOT / "sql/install").glob("*/*.sql")))


def rows(head):
    """The cells of a table's rows."""
    lines = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r" \|(?= )", line.strip("|"))] for line in lines]


def settings():
    defined = set(
        re.findall(r'"admin_ext\.(\w+)"', "".join(path.read_text() for path in (ROOT / "src").rglob("*settings*.c")))
    )
    listed = [
        re.sub(r"^admin_ext\.", "", name)
        for row in rows("setting | default | meaning")
        for name in re.findall(r"`([\w.]+)`", row[0])
    ]
    ok(
        len(defined) > 25 and sorted(listed) == sorted(defined),
        "the page lists every setting once, and no other",
        set(listed) ^ defined,
    )


def states():
    source = (ROOT / "src/delivery/shared.c").read_text()
    names = set(
        re.findall(r'"(\w+)"', source[source.index("delivery_state_name(DeliveryState state)") :].split("};")[0])
    )
    listed = {name for row in rows("state | meaning") for name in re.findall(r"`(\w+)`", row[0])}
    ok(len(names) == 6 and listed == names, "the page lists every state of a worker, and no other", listed ^ names)


def accesses():
    names = re.search(r"accesses text\[\] := '\{([^}]*)\}'", SCRIPT).group(1).split(", ")
    listed = [row[0].strip("`") for row in rows("access | may")]
    ok(
        len(names) == 7 and sorted(listed) == sorted(names),
        "the page lists every access once, and no other",
        set(listed) ^ set(names),
    )


def payloads():
    """Of the events that a function appends with the members written out; guard.changed has several forms."""
    listed = {
        name: re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", row[2]))
        for row in rows("event | when | payload")
        for name in re.findall(r"`([\w.]+)`", row[0])
    }
    appended = re.findall(r"append_event\('([\w.]+)', json_build_object\((.*?)\)\);", SCRIPT, re.S)
    count = 0
    for event, members in appended:
        if event == "guard.changed":
            continue
        # Names alternate with values: a name is a literal that begins the list or follows the comma behind a value.
        names = re.findall(r"(?:^|,)\s*'(\w+)',", members)
        count += 1
        ok(
            event in listed and names == listed[event],
            f"the page has the payload of {event}",
            (names, listed.get(event)),
        )
    ok(count > 4, f"{count} events were found in the sources", [event for event, _ in appended])


def limits():
    limit = {row[0]: row[1] for row in rows("what | limit")}
    for head, name, file in (
        ("token", "JWS_MAX_BYTES", "identity/jws.h"),
        ("pairs of a database and a sink", "DELIVERY_SLOTS", "delivery/shared.h"),
    ):
        value = re.search(rf"#define {name}\s+(\d+)", (ROOT / "src" / file).read_text())
        ok(value and value.group(1) in limit[head], f"the limit {name}", limit[head])


if __name__ == "__main__":
    settings()
    states()
    accesses()
    payloads()
    limits()
    end()
