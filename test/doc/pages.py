"""What the tests of pages share: does a page list what the sources say, and nothing else?  TAP.

Messages are taken out of the sources, what varies in them written as an ellipsis.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "test/lib"))
from tap import end, ok  # the tests of pages take both from here

LITERAL = r'"(?:[^"\\\n]|\\.)*"'
LITERALS = re.compile(rf"(?:{LITERAL}|INT64_FORMAT)(?:\s+(?:{LITERAL}|INT64_FORMAT))*")


def plain(message):
    """What varies is an ellipsis; what stands between two messages is no part of either."""
    message = re.sub(r"%%|%[-+ #0]*[\d*]*(?:\.[\d*]+)?l*[a-zA-Z]|%", "…", message)
    return re.sub("…+", "…", message).strip("…;: ")


def text_of(literals):
    parts = re.findall(rf"{LITERAL}|INT64_FORMAT", literals)
    return "".join(
        "%d" if part == "INT64_FORMAT" else part[1:-1].replace('\\"', '"').replace("\\n", "\n") for part in parts
    )


def messages_of(*names):
    """Literals of C files that are words, in order."""
    for name in names:
        source = re.sub(r"/\*.*?\*/|^\s*#include.*?$", "", (ROOT / name).read_text(), flags=re.S | re.M)
        for found in LITERALS.finditer(source):
            text = text_of(found.group())
            activity = re.search(
                r"\b(worker_begin|appendStringInfo|appendStringInfoString|errmsg_internal|pgstat_report_activity)\((STATE_IDLE, |&?\w+, *)?$",
                source[: found.start()],
            )
            # Names of processes and memory begin with the extension's, lines of the log with its and a colon.
            is_ours = text.startswith(("admin_ext ", "admin_ext: "))
            if " " in text.strip() and not activity and not is_ours:
                yield plain(text)


# Settings are refused where they are set, not by a worker.
NO_WORKER = ("kafka_property.c", "kafka_settings.c", "redis_settings.c")


def files_of_sink(name):
    """C files of a sink's library, below the root."""
    files = sorted((ROOT / "src/sinks" / name).glob("*.c"))
    return [path.relative_to(ROOT) for path in files if path.name not in NO_WORKER]


def messages_on(page):
    """First cells of the tables of messages."""
    head = ""
    for line in page.splitlines():
        if not line.startswith("|"):
            head = ""
        elif not head:
            head = line
        elif re.match(r"\| (message|remedy, as it is told|error in) ?", head) and not line.startswith("|---"):
            yield plain(line.split(" | ")[0].strip("| ").strip("`"))


def compare(name, page, wanted, besides=(), least=1):
    """Each of those that are wanted is listed once, and none but they and those besides."""
    listed = list(messages_on(page))
    for message in sorted(wanted):
        ok(message in listed, f"the page lists: {message}", f"see {name}, What last_error says")
    ok(len(wanted) >= least, f"{len(wanted)} messages were found in the sources")
    ok(
        not set(listed) - wanted - set(besides),
        "the page lists no message that the sources do not have",
        set(listed) - wanted - set(besides),
    )
    ok(len(listed) == len(set(listed)), "the page lists no message twice", sorted(listed))
