#!/usr/bin/env python3
"""Names of tests make sense alone: a line "not ok 57 - and goes on" says nothing of what was promised; speaks TAP."""

import pathlib
import re
import sys

WORDS = "(?:and|but|nor|so|then|until|which)"
NAME = re.compile(rf"""[,(]\s*f?(?:"({WORDS}\b[^"\n]*)"|'({WORDS}\b[^'\n]*)')\s*[),;]""")


def sources():
    for path in sorted(pathlib.Path("test").rglob("*")):
        if path.suffix in (".c", ".pl", ".py", ".sql"):
            yield path


def main():
    files = list(sources())
    wrong = [
        f"# {path}:{text.count(chr(10), 0, found.start()) + 1}: {found.group(1) or found.group(2)}"
        for path, text in ((path, path.read_text()) for path in files)
        for found in NAME.finditer(text)
    ]
    print("\n".join(wrong), end="\n" if wrong else "")
    holds = len(files) > 150 and not wrong
    print(f"{'ok' if holds else 'not ok'} 1 - no name of a test goes on from the one before it, in {len(files)} files")
    print("1..1")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
