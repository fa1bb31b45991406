"""Do C, SQL, Python and the pages have the words and limits of schema/vocabulary.json?  Speaks TAP.

With --write it makes doc/reference.md from the table.
"""

import json
import re
import sys

from pages import ROOT, end, ok

WORDS = json.loads((ROOT / "schema/vocabulary.json").read_text())
C = {path: path.read_text() for path in (ROOT / "src").rglob("*.[ch]")}
SCRIPT = "".join(path.read_text() for path in sorted((ROOT / "sql/install").glob("*/*.sql")))
MODELS = (ROOT / "clients/python/src/admin_client/web/models.py").read_text()
ENGINE = (ROOT / "clients/python/src/admin_client/parity/engine.py").read_text()
PAGES = {path.name: path.read_text() for path in (ROOT / "doc").glob("*.md")}


def same(group, found, where):
    wanted = set(WORDS[group])
    ok(found == wanted, f"{where} has the {group.replace('_', ' ')} of the table", sorted(found ^ wanted))


def strings_between(file, begin):
    """Literals of a C array."""
    source = C[ROOT / "src" / file]
    return set(re.findall(r'"([a-z_-]+)"', source[source.index(begin) :].split("};")[0]))


def python_literals(name):
    return set(re.findall(r'"([^"]+)"', re.search(rf"^{name} = Literal\[(.*?)\]", MODELS, re.M).group(1)))


def names_in_code(text):
    return set(re.findall(r"`([\w.-]+)`", text))


def states():
    same("approval_states", strings_between("decision/ttl.c", "state_names[]") - {"unknown"}, "decision/ttl.c")
    constraint = re.search(r"constraint approval_state\s+check \(state in \((.*?)\)\)", SCRIPT).group(1)
    same("approval_states", set(re.findall(r"'(\w+)'", constraint)), "the constraint of admin.approval")
    same("approval_states", python_literals("STATES"), "the web app")
    same("ttl_states", strings_between("decision/ttl.c", "ttl_names[]"), "decision/ttl.c")
    same("ttl_states", python_literals("TTL_STATES"), "the web app")
    same("worker_states", strings_between("delivery/shared.c", "delivery_state_name("), "delivery/shared.c")
    view = SCRIPT[SCRIPT.index("create view admin.audit_delivery as") :].split("comment on")[0]
    ok(any('\\"deferred\\"' in text or '"deferred"' in text for text in C.values()), "a preview answers deferred")
    said = set(re.findall(r"(?:then|else) '(\w+)'", view)) | {"deferred"}
    same("sink_statuses", said, "admin.audit_delivery, with the preview's,")


def reasons():
    same("reasons", strings_between("decision/policy.c", "reason_names[]"), "decision/policy.c")
    source = C[ROOT / "src/decision/policy.c"]
    found = re.findall(r'"([a-z_]+)"', source[source.index("reason_names[]") :].split("};")[0])
    ok(found == list(WORDS["reasons"]), "the reasons are in the order of the rules", found)
    for reason in WORDS["reasons"]:
        ok(f'"{reason}"' in ENGINE, f"the independent engine has the reason {reason}")


def accesses():
    named = re.search(r"accesses text\[\] := '\{([^}]*)\}'", SCRIPT).group(1)
    same("accesses", set(named.split(", ")), "grant_access")
    same(
        "accesses",
        set(re.findall(r"^\| `(\w+)` \|", PAGES["dba.md"].split("| access | may |")[1].split("\n\n")[0], re.M)),
        "dba.md",
    )


def events():
    """A literal of two words with a dot is an event where the first word begins one of the table."""
    begin = "|".join(sorted({name.split(".")[0] for name in WORDS["events"]}))
    literal = rf"(?:{begin})\.[a-z_]+(?:\.2b)?"
    code = re.sub(r"/\*.*?\*/", "", "".join(C.values()), flags=re.S)
    found = set(re.findall(rf'"({literal})"', code)) | set(re.findall(rf"'({literal})'", SCRIPT))
    found |= {
        f"approval.{state}"
        for state in strings_between("decision/ttl.c", "state_names[]")
        if f"approval.{state}" in WORDS["events"]
    }
    # Of whatever family.
    found |= set(re.findall(r"append_event\(\s*'([a-z_.0-9]+)'", SCRIPT))
    found |= set(re.findall(r'event_type = "([a-z_.0-9]+)"', code))
    # Functions of the library by these names are no events.
    found -= {"sensitive.check"}
    same("events", found, "the code")
    told = set().union(*(names_in_code(text) for page, text in PAGES.items() if page != "reference.md"))
    told |= {name.removeprefix("ptt.admin.") for name in told}
    ok(set(WORDS["events"]) <= told, "some page tells of each event", sorted(set(WORDS["events"]) - told))


def limits():
    for what, limit in WORDS["limits"].items():
        most = limit["bytes"]
        ok(
            re.search(rf"#define {limit['c']}\s+{most}\b", C[ROOT / "src/text_limits.h"]) is not None,
            f"text_limits.h: {what} has {most} bytes at most",
        )
        for column in limit["columns"]:
            table, name = column.split(".")
            body = SCRIPT[SCRIPT.index(f"create table admin.{table} (") :].split(");\n")[0]
            ok(
                re.search(rf"octet_length\({name}\) (?:between 1 and|<=) {most}\)", body) is not None,
                f"a constraint: admin.{column} has {most} bytes at most",
            )
        for name in limit["python"]:
            declared = re.search(rf"^{name} = Annotated\[str, (.*)\]$", MODELS, re.M).group(1)
            ok(
                f"max_length={most}" in declared and f"at_most({most})" in declared,
                f"the web app: {name} has {most} bytes at most",
                declared,
            )


HEADS = {
    "approval_states": ("States of an approval", "`admin.approval.state`, held by a trigger."),
    "ttl_states": (
        "What time has made of an approval",
        "`ttl_state` of a check, of a message of Redis, and of `admin.approval_ttl_state`.",
    ),
    "reasons": (
        "Reasons of a denial",
        "`reason` of a check, in the order in which the rules are tried. A valid answer has null.",
    ),
    "sink_statuses": ("What became of a row", "`sink_status` of `admin.audit_delivery`, and of the answer to a check."),
    "worker_states": (
        "States of a delivery worker",
        "`admin.worker_status.state`; see [dba.md](dba.md) for what to do.",
    ),
    "accesses": ("Kinds of access", "Of `admin.grant_access()`; see [dba.md](dba.md) for the functions of each."),
    "events": (
        "Types of events",
        "`admin.audit.event_type`. In documents `ptt.admin.` stands in front. Payloads are in [dba.md](dba.md) and [ff.md](ff.md).",
    ),
}


def reference():
    """The page, made from the table."""
    lines = [
        "# Reference: words and limits",
        "",
        "Made from `schema/vocabulary.json`. Tests hold it against C, SQL and Python.",
        "",
    ]
    for group, (head, about) in HEADS.items():
        lines += [f"## {head}", "", about, "", "| word | meaning |", "|---|---|"]
        lines += [f"| `{word}` | {meaning} |" for word, meaning in WORDS[group].items()]
        if group == "events":
            lines.append(
                "| `ingest.…` | an event of another source was taken over; the rest of the name is that source's type |"
            )
        lines.append("")
    lines += ["## Lengths", "", "Of texts of approvals, in bytes of UTF-8. A longer text is refused.", ""]
    lines += ["| text | at most | columns |", "|---|---|---|"]
    lines += [
        f"| {what} | {limit['bytes']} | {', '.join(f'`admin.{column}`' for column in limit['columns'])} |"
        for what, limit in WORDS["limits"].items()
    ]
    return "\n".join(lines) + "\n"


def page():
    ok(
        PAGES["reference.md"] == reference(),
        "reference.md is what the table makes of it",
        "run test/doc/vocabulary.py --write",
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        (ROOT / "doc/reference.md").write_text(reference())
        sys.exit()
    page()
    states()
    reasons()
    accesses()
    events()
    limits()
    end()
