"""Does doc/kafka.md say what the sources say?  Speaks TAP.

Messages that worker_status.last_error or a dead letter can show for the Kafka sink are taken
out of the sources, what varies in them written as an ellipsis: the page lists each of them,
and no other.  The same goes for librdkafka's properties that are set.
"""

import re

from pages import ROOT, compare, end, files_of_sink, messages_of, ok, plain

PAGE = (ROOT / "doc/kafka.md").read_text()
NOT_SHOWN = {
    "application/cloudevents+json; charset=UTF-8",
    "Content-Type: application/vnd.schemaregistry.v1+json",
    '"id"',  # what is sent, or read
    "SSL routines",
    "incorrect security.protocol",
    "unknown ca",
    "probably due to",
    "Connect to",  # looked for in librdkafka's words
    "admin_ext: statistics of librdkafka",
    "There can be … pairs of a database and a sink.",  # of the log
    "Their rows wait in the audit trail.",
    "Raise max_worker_processes.",
    "As admin_ext.on_divergence asks for, delivery goes on as store … from audit_id ….",
    "What was lost is in the sink alone: event sink.diverged of admin.audit says where.",
    "",  # forms of positions
}
# What the worker says of something in the sink, and its parts in the source.
NOT_WRITTEN = (
    "was not written by this database: …; find out who else writes to the sink, then call admin.resync_sink('…', ...) "
    "with the number that admin.resync_proposal('…') returns"
)
COMPOSED = {f"{what} {NOT_WRITTEN}" for what in ("position … in the sink", "the mark of batch … in the sink")}
PARTS = {NOT_WRITTEN, "position … in the sink", "the mark of batch … in the sink"}
# What is there instead of what was delivered.
LOST = (
    "topic \"…\" has lost delivered records, or was recreated: {}; call admin.resync_sink('…', ...) "
    "with the number that admin.resync_proposal('…') returns"
)
FOUND = {
    "partition … holds offsets … to …, remembered is",
    "partition … took a record at offset …, remembered is",
    "partition … is not there any more",
    "its id is …, remembered is",
}
COMPOSED |= {LOST.format(found + " …" * found.endswith(" is")) for found in FOUND}
PARTS |= {LOST.format("…")} | FOUND
# PostgreSQL's own that are worth a line.
OF_POSTGRESQL = {'could not access file "$libdir/admin_ext_kafka"', "any other"}


def messages_of_sql(*functions):
    """What functions of the extension's script raise, and the reasons that they choose from."""
    script = (ROOT / "sql/install/admin_ext/40_delivery.sql").read_text()
    for function in functions:
        body = script[script.index(f"create function {function}(") :].split("\n$$;")[0]
        for message in re.findall(r"(?:\bthen|\bformat\(|raise exception)\s*(?:format\()?'((?:[^']|'')*)'", body):
            if " " in message and not message.startswith("Ask "):
                yield plain(message.replace("''", "'"))


def sources():
    yield from messages_of(*files_of_sink("kafka"))
    yield from messages_of(
        "src/delivery/opening.c",
        "src/delivery/divergence.c",
        "src/delivery/durable.c",
        "src/delivery/launcher.c",
        "src/delivery/sink_table.c",
        "src/delivery/retry.c",
    )
    yield from messages_of_sql(
        "admin_internal.delivery_problem", "admin_internal.delivery_open", "admin_internal.make_tick"
    )


def messages():
    found = set(sources()) - NOT_SHOWN
    ok(PARTS <= found, "the parts of composed messages are in the sources", PARTS - found)
    compare("doc/kafka.md", PAGE, found - PARTS | COMPOSED, OF_POSTGRESQL, 60)


def properties():
    source = (ROOT / "src/sinks/kafka/kafka_config.c").read_text()
    ours = dict(re.findall(r'\{"([a-z.]+)", "(\w+)"\}', source))
    told = {}
    for names, values in re.findall(
        r"^\| (`[a-z.]+`(?:, `[a-z.]+`)*) \| ([^|`]+) \|", PAGE[PAGE.index("## Throughput") :], re.M
    ):
        told.update(zip(re.findall(r"`([^`]+)`", names), values.split(", ")))
    ok(
        len(ours) > 10 and told == ours,
        "properties that are set unless kafka_options says otherwise",
        set(told.items()) ^ set(ours.items()),
    )
    fixed = set(re.findall(r'"([a-z._]+)"', source[source.index("fixed[] = {") :].split("};")[0]))
    listed = set(re.findall(r"`([^`]+)`", PAGE[PAGE.index("they cannot be set:") :].split("\n\n")[0]))
    ok(len(fixed) > 10 and listed == fixed, "properties that cannot be set", listed ^ fixed)


if __name__ == "__main__":
    messages()
    properties()
    end()
