#!/usr/bin/env python3
"""Finds modules of src/ that include each other, directly or by way of others; speaks TAP.

A module is a source file and the header of its name.  Where two include each other, neither can be
understood, or tested, without the other.
"""

import pathlib
import re
import sys

SOURCE = pathlib.Path("src")
# "admin_ext_sink.h" is found as include/admin_ext_sink.h.
FOLDERS = [SOURCE, SOURCE / "include"]


def module(path):
    return str(path.relative_to(SOURCE).with_suffix(""))


def included(path):
    for name in re.findall(r'^#include "(.+)"', path.read_text(), re.MULTILINE):
        yield from (module(folder / name) for folder in FOLDERS if (folder / name).is_file())


def circles(includes):
    """What is left once no module can be removed that includes none of the others, or that none of them includes."""
    left = {name: others - {name} for name, others in includes.items()}
    while True:
        wanted = set().union(*left.values()) if left else set()
        stays = {name: others & left.keys() for name, others in left.items() if others & left.keys() and name in wanted}
        if stays.keys() == left.keys():
            return left
        left = stays


def main():
    includes = {}
    for path in sorted(SOURCE.rglob("*.[ch]")):
        includes.setdefault(module(path), set()).update(included(path))
    left = circles(includes)
    for name, others in sorted(left.items()):
        print(f"# {name} includes {', '.join(sorted(others))}")
    failed = bool(left) or len(includes) < 100
    print("not ok" if failed else "ok", f"1 - no circle in what {len(includes)} modules include\n1..1")
    return failed


if __name__ == "__main__":
    sys.exit(main())
