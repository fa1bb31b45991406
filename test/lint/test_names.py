#!/usr/bin/env python3
"""Names of tests make sense alone: a line "not ok 57 - and goes on" says nothing of what was promised; speaks TAP."""

import pathlib
import re
import sys

NAME = re.compile(r"""[,(]\s*f?(['"])((?:and|but|nor|so|then|until|which)\b[^'"\n]*)\1\s*[),;]""")


def sources():
    for path in sorted(pathlib.Path("test").rglob("*")):
        if path.suffix in (".c", ".pl", ".py", ".sql"):
            yield path


def main():
    files = list(sources())
    wrong = [
        f"# {path}:{number}: {found.group(2)}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for found in NAME.finditer(line)
    ]
    print("\n".join(wrong), end="\n" if wrong else "")
    holds = len(files) > 150 and not wrong
    print(f"{'ok' if holds else 'not ok'} 1 - no name of a test goes on from the one before it, in {len(files)} files")
    print("1..1")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
