"""Does doc/kafka.md say what the sources say?  Speaks TAP.

Messages that worker_status.last_error or a dead letter can show for the Kafka sink are taken
out of the sources, what varies in them written as an ellipsis: the page lists each of them,
and no other.  The same goes for librdkafka's properties that are set.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "doc/kafka.md").read_text()
LITERAL = r'"(?:[^"\\\n]|\\.)*"'
LITERALS = re.compile(rf"(?:{LITERAL}|INT64_FORMAT)(?:\s+(?:{LITERAL}|INT64_FORMAT))*")
NOT_SHOWN = {
    "application/cloudevents+json; charset=UTF-8", "Content-Type: application/vnd.schemaregistry.v1+json", '"id"',  # what is sent, or read
    "SSL routines", "incorrect security.protocol", "unknown ca", "probably due to",  # looked for in librdkafka's words
    "admin_ext: statistics of librdkafka", "There can be … pairs of a database and a sink.",  # of the log
    "",  # forms of positions
}
# PostgreSQL's own that are worth a line.
OF_POSTGRESQL = {'could not access file "$libdir/admin_ext_kafka"', "any other"}
count = failed = 0


def ok(condition, name, detail=""):
    global count, failed
    count += 1
    failed += not condition
    print(f"{'ok' if condition else 'not ok'} {count} - {name}" + ("" if condition else f"\n# {detail}"))


def plain(message):
    """What varies is an ellipsis; what stands between two messages is no part of either."""
    message = re.sub(r"%%|%[-+ #0]*[\d*]*(?:\.[\d*]+)?l*[a-zA-Z]|%", "…", message)
    return re.sub("…+", "…", message).strip("…;: ")


def text_of(literals):
    parts = re.findall(rf"{LITERAL}|INT64_FORMAT", literals)
    return "".join("%d" if part == "INT64_FORMAT" else part[1:-1].replace('\\"', '"').replace("\\n", "\n") for part in parts)


def messages_of(*names):
    """Literals of C files that are words, in order."""
    for name in names:
        source = re.sub(r"/\*.*?\*/|^\s*#include.*?$", "", (ROOT / name).read_text(), flags=re.S | re.M)
        for found in LITERALS.finditer(source):
            text = text_of(found.group())
            activity = re.search(r"\b(worker_begin|appendStringInfo|appendStringInfoString|errmsg_internal)\((&?\w+, *)?$", source[:found.start()])
            # Names of processes and memory begin with the extension's, lines of the log with its and a colon.
            is_ours = text.startswith(("admin_ext ", "admin_ext: "))
            if " " in text.strip() and not activity and not is_ours:
                yield plain(text)


def messages_of_sql(*functions):
    """What functions of the extension's script raise, and the reasons that they choose from."""
    script = (ROOT / "sql/install/40_delivery.sql").read_text()
    for function in functions:
        body = script[script.index(f"create function admin.{function}("):].split("\n$$;")[0]
        for message in re.findall(r"(?:\bthen|\bformat\(|raise exception)\s*(?:format\()?'((?:[^']|'')*)'", body):
            if " " in message and not message.startswith("Call "):
                yield plain(message.replace("''", "'"))


def sources():
    yield from messages_of(*(path.relative_to(ROOT) for path in sorted((ROOT / "src/sinks/kafka").glob("*.c"))))
    yield from messages_of("src/delivery/opening.c", "src/delivery/launcher.c", "src/delivery/sink_table.c", "src/delivery/retry.c")
    yield from messages_of_sql("delivery_open", "make_tick")


def page():
    """First cells of the tables of messages."""
    head = ""
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            head = ""
        elif not head:
            head = line
        elif re.match(r"\| (message|remedy, as it is told|error in) ?", head) and not line.startswith("|---"):
            yield plain(line.split(" | ")[0].strip("| ").strip("`"))


def messages():
    wanted = set(sources()) - NOT_SHOWN
    listed = list(page())
    for message in sorted(wanted):
        ok(message in listed, f"the page lists: {message}", "see doc/kafka.md, What last_error says")
    ok(len(wanted) > 60, f"{len(wanted)} messages were found in the sources")
    ok(not set(listed) - wanted - OF_POSTGRESQL, "it lists no other", set(listed) - wanted - OF_POSTGRESQL)
    ok(len(listed) == len(set(listed)), "and none twice", sorted(listed))


def properties():
    source = (ROOT / "src/sinks/kafka/kafka_config.c").read_text()
    ours = dict(re.findall(r'\{"([a-z.]+)", "(\w+)"\}', source))
    told = {}
    for names, values in re.findall(r"^\| (`[a-z.]+`(?:, `[a-z.]+`)*) \| ([^|`]+) \|", PAGE, re.M):
        told.update(zip(re.findall(r"`([^`]+)`", names), values.split(", ")))
    ok(len(ours) > 10 and told == ours, "properties that are set unless kafka_options says otherwise", set(told.items()) ^ set(ours.items()))
    fixed = set(re.findall(r'"([a-z._]+)"', source[source.index("fixed[] = {"):].split("};")[0]))
    listed = set(re.findall(r"`([^`]+)`", PAGE[PAGE.index("they cannot be set:"):].split("\n\n")[0]))
    ok(len(fixed) > 10 and listed == fixed, "properties that cannot be set", listed ^ fixed)


if __name__ == "__main__":
    messages()
    properties()
    print(f"1..{count}")
    sys.exit(failed > 0)
