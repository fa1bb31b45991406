#!/usr/bin/env python3
"""Names of the functions of src/, and where they are declared; speaks TAP.

In a backtrace, a profile or the output of grep a function has its name and nothing else.  So no two files
define a function of one name, and a name has two words at least.  Who looks for what a file offers
looks into the header of its name: files of one family, insider_*.c for example, may share insider.h.
"""

import collections
import pathlib
import re
import sys

DEFINITION = re.compile(r"^(?:\w[\w \t]*?[ \t]\**|\w[\w \t*]*\n)(\w+)\((?:[^;{}]*)\)\n\{", re.MULTILINE)
PROTOTYPE = re.compile(r"^extern [^;(]*?\b(\w+)\(", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# Headers that a family of files shares.
FAMILIES = {"insider", "insider_setting", "insider_target"}
# The entry point that every library of a sink has.
SHARED = {"_PG_admin_sink_init", "_PG_init"}


def definitions():
    """{name: files that define it}"""
    found = collections.defaultdict(set)
    for path in sorted(pathlib.Path("src").rglob("*.c")):
        for name in DEFINITION.findall(path.read_text()):
            found[name].add(str(path))
    return found


def is_of(header, path):
    """Is it the header of this file, or of its family?"""
    is_family = header.stem in FAMILIES and path.stem.startswith(header.stem + "_")
    return path.parent == header.parent and (path.stem == header.stem or is_family)


def elsewhere(found):
    """Prototypes, and those of them that are not in the header of the file that defines the function."""
    number, wrong = 0, {}
    for header in sorted(pathlib.Path("src").rglob("*.h")):
        for name in PROTOTYPE.findall(COMMENT.sub("", header.read_text())):
            number += 1
            if not any(is_of(header, pathlib.Path(each)) for each in found.get(name, ())):
                wrong[name] = {str(header), *found.get(name, ())}
    return number, wrong


def main():
    found = definitions()
    prototypes, foreign = elsewhere(found)
    twice = {name: files for name, files in found.items() if len(files) > 1 and name not in SHARED}
    short = {name: files for name, files in found.items() if "_" not in name}
    for said, wrong in (("two files define", twice), ("one word only:", short), ("declared elsewhere:", foreign)):
        for name, files in sorted(wrong.items()):
            print(f"# {said} {name}: {', '.join(sorted(files))}")
    enough = len(found) > 1000
    results = [
        (enough and not twice, f"no name belongs to two of {len(found)} functions"),
        (enough and not short, "the name of a function has two words or more"),
        (prototypes > 300 and not foreign, f"each of {prototypes} prototypes is in the header of its file"),
    ]
    for number, (holds, what) in enumerate(results, 1):
        print(f"{'ok' if holds else 'not ok'} {number} - {what}")
    print(f"1..{len(results)}")
    return 0 if all(holds for holds, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
