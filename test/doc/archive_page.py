"""Does doc/archive.md say what the archiver's sources say: options, exit statuses, metrics, messages?  Speaks TAP."""

import ast
import re

from pages import ROOT, end, ok

PAGE = (ROOT / "doc/archive.md").read_text()
SOURCES = {path.stem: path.read_text() for path in (ROOT / "clients/python/src/admin_client/archive").glob("*.py")}
TREES = {name: ast.parse(source) for name, source in SOURCES.items()}


def calls(tree, *functions):
    """Calls of functions or methods with these names, as (name, node)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", None))
            if name in functions:
                yield name, node


def forms(node):
    """What a string or an f-string can be, as a regular expression; None for what is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in node.values)
    return None


def table(head):
    """The rows of a table, each a list of cells."""
    rows = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r" \|(?= )", row.strip("|"))] for row in rows]


def options():
    added = [
        (node.args[0].value, [each.arg for each in node.keywords])
        for _, node in calls(TREES["settings"], "add_argument")
        if ast.unparse(node.func.value) == "run" and node.args[0].value.startswith("--")
    ]
    rows = table("option | default | meaning")
    listed = re.findall(r"`(--[\w-]+)", " ".join(row[0] for row in rows))
    ok(
        len(added) > 15 and sorted(listed) == sorted(name for name, _ in added),
        "the page lists every option once, and no other",
        set(listed) ^ {name for name, _ in added},
    )
    told = " ".join(row[1] for row in rows)
    defaults = set(re.findall(r'\(default (\w+)\)|default="([\w.]+)"|: (\w+) \(default\)', SOURCES["settings"])) | {
        (re.search(r'group: str = "(\w+)"', SOURCES["settings"]).group(1),)
    }
    wanted = {value for found in defaults for value in found if value}
    ok(
        len(wanted) > 4 and all(f"`{value}`" in told for value in wanted),
        "the page tells the default of each option",
        (wanted, told),
    )
    required = {name for name, how in added if "required" in how}
    ok(
        len(required) == 3 and all(any(name in row[0] and "required" in row[2] for row in rows) for name in required),
        "the page says which options are required",
        required,
    )


def statuses():
    defined = set(re.findall(r"^    status = (\d)|^STATUS_BROKEN = (\d)", SOURCES["errors"], re.M))
    wanted = {value for found in defined for value in found if value} | {"0", "2"}
    listed = {row[0] for row in table("status | meaning | what to do")}
    ok(len(wanted) == 6 and listed == wanted, "the page lists every exit status, and no other", listed ^ wanted)


def metrics():
    made = calls(TREES["metrics"], "counter", "gauge")
    wanted = {node.args[0].value + "_total" * (kind == "counter") for kind, node in made}
    alerts = {re.match(r"admin_ext_archive_(\w+)", row[0].strip("`")).group(1) for row in table("metric | alert")}
    others = set(
        re.findall(
            r"`(\w+)`",
            re.search(r"^Other metrics, each with the prefix `admin_ext_archive_`: (.*)$", PAGE, re.M).group(1),
        )
    )
    ok(
        len(wanted) > 10 and alerts | others == wanted,
        "the page names every metric, and no other",
        (alerts | others) ^ wanted,
    )


def messages():
    """Why a stream has stopped: the page has an example of each message that the sources can make, and no other."""
    nodes = []
    for name, tree in TREES.items():
        if name == "errors" or "StreamBroken" in SOURCES[name]:
            nodes += [node.args[0] for _, node in calls(tree, "StreamBroken", "__init__") if node.args]
            nodes += [
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Return) and isinstance(node.value, ast.JoinedStr)
            ]
    patterns = {found for found in map(forms, nodes) if found is not None and "\\ " in found}
    examples = [
        text
        for row in table("message | cause")
        for text in re.findall(r"`([^`]+)`", " ".join(row))
        if " " in text and text != "the seal"
    ]
    ok(len(patterns) > 25, f"{len(patterns)} messages were found in the sources", patterns)
    for pattern in sorted(patterns):
        ok(any(re.fullmatch(pattern, text) for text in examples), f"the page has an example of: {pattern}")
    strange = [text for text in examples if not any(re.fullmatch(pattern, text) for pattern in patterns)]
    ok(not strange, "the page lists no message that the sources cannot make", strange)


if __name__ == "__main__":
    options()
    statuses()
    metrics()
    messages()
    end()
