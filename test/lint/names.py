#!/usr/bin/env python3
"""Names of the functions of src/; speaks TAP.

In a backtrace, a profile or the output of grep a function has its name and nothing else.  So no two files
define a function of one name, and a name has two words at least.
"""

import collections
import pathlib
import re
import sys

DEFINITION = re.compile(r"^(?:\w[\w \t]*?[ \t]\**|\w[\w \t*]*\n)(\w+)\((?:[^;{}]*)\)\n\{", re.MULTILINE)
# The entry point that every library of a sink has.
SHARED = {"_PG_admin_sink_init", "_PG_init"}


def definitions():
    """{name: files that define it}"""
    found = collections.defaultdict(set)
    for path in sorted(pathlib.Path("src").rglob("*.c")):
        for name in DEFINITION.findall(path.read_text()):
            found[name].add(str(path))
    return found


def main():
    found = definitions()
    twice = {name: files for name, files in found.items() if len(files) > 1 and name not in SHARED}
    short = {name: files for name, files in found.items() if "_" not in name}
    for said, wrong in (("two files define", twice), ("one word only:", short)):
        for name, files in sorted(wrong.items()):
            print(f"# {said} {name}: {', '.join(sorted(files))}")
    enough = len(found) > 1000
    results = [
        (enough and not twice, f"no name belongs to two of {len(found)} functions"),
        (enough and not short, "the name of a function has two words or more"),
    ]
    for number, (holds, what) in enumerate(results, 1):
        print(f"{'ok' if holds else 'not ok'} {number} - {what}")
    print(f"1..{len(results)}")
    return 0 if all(holds for holds, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
