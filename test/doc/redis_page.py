"""Does doc/redis.md say what the sources say: messages, keys, settings, rules?  Speaks TAP."""

import json
import re

from pages import ROOT, compare, end, files_of_sink, messages_of, ok

PAGE = (ROOT / "doc/redis.md").read_text()
SINK = ROOT / "src/sinks/redis"
OF_POSTGRESQL = {'could not access file "$libdir/admin_ext_redis"'}
RULES = {"+auth", "+select", "+info", "+xadd ~", "+publish &"}


def replies():
    """What Redis's words are looked for by: they are not ours."""
    source = (SINK / "redis_errors.c").read_text()
    return set(re.findall(r'^\t\{"([^"]+)", "', source, re.M)) | {", with args", "unknown ca"}


def messages():
    wanted = set(messages_of(*files_of_sink("redis")))
    compare("doc/redis.md", PAGE, wanted - replies() - RULES, OF_POSTGRESQL, 55)


def message():
    """The keys of the table are those of the example and of the code, in order."""
    source = (SINK / "redis_message.c").read_text()
    code = re.findall(r'\\"(\w+)\\":', source[source.index("append_source(StringInfo") :].split("redis_message(")[0])
    wanted = list(dict.fromkeys(code))
    example = json.loads(re.search(r"^```json\n(.*?)^```", PAGE, re.S | re.M).group(1))
    table = re.findall(r"^\| `(\w+)` \|", PAGE[PAGE.index("| key | what |") :].split("\n\n")[0], re.M)
    ok(
        len(wanted) == 9 and list(example) == wanted,
        "the example has the keys of the code, in order",
        (list(example), wanted),
    )
    ok(table == wanted, "the table has the keys of the code, in order", table)
    names = re.findall(
        r'\] = "([a-z-]+)"', (ROOT / "src/decision/ttl.c").read_text().split("ttl_names[] = {")[1].split("};")[0]
    )
    ok(len(names) == 4 and all(f"`{name}`" in PAGE for name in names), "the page names every ttl_state", names)


def settings():
    source = (SINK / "redis_settings.c").read_text()
    defined = set(re.findall(r'"(admin_ext\.redis_\w+)"', source))
    told = dict(re.findall(r"^\| `(admin_ext\.redis_\w+)` \| (.*?) \|", PAGE, re.M))
    ok(len(defined) == 4 and set(told) == defined, "every setting is listed", set(told) ^ defined)
    ok(
        f'"{told["admin_ext.redis_channel"].strip("`")}"' in source
        and f", {told['admin_ext.redis_stream_length'].strip('`')}, 1, INT_MAX" in source,
        "the page tells the defaults of redis_channel and redis_stream_length",
    )
    options = set(re.findall(r'strcmp\(name, "(\w+)"\)', (SINK / "redis_url.c").read_text()))
    listed = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`(?:db|ssl)[^|]*) \|", PAGE, re.M))))
    ok(
        len(options) == 4 and listed == options,
        "the page lists every option of the URL, and no other",
        listed ^ options,
    )


def rules():
    source = (SINK / "redis_errors.c").read_text()
    needed = set(re.findall(r'"(\+[a-z|]+)', source))
    told = set(re.search(r"^\| the worker's user \| `([^`]+)`", PAGE, re.M).group(1).replace("\\", "").split())
    # Two that the worker can do without.
    ok(
        len(needed) == 5 and {rule for rule in told if rule[0] == "+"} == needed | {"+client|setname", "+ping"},
        "the rules of the worker's user",
        told,
    )


if __name__ == "__main__":
    messages()
    message()
    settings()
    rules()
    end()
