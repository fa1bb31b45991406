#!/usr/bin/env python3
"""PostgreSQL's layout of C, by pg_bsd_indent, the program behind PostgreSQL's pgindent.

    test/lint/indent.py [--check] [FILE ...]

Without FILE: every C file of src/.  Rewrites the files; with --check it changes none, shows how
they differ, and ends with status 1 if one does.  Comments are wrapped at column 100.

pg_bsd_indent has to know which names are types.  Those of our own files are found there; typedefs.list
names those of the server and of libraries.
"""

import difflib
import pathlib
import re
import subprocess
import sys
import tempfile

OPTIONS = (
    "-bad -bap -bbb -bc -bl -cli1 -cp33 -cdb -nce -d0 -di12 -nfc1 -i4 -l100 -lp -lpl -nip -npro -sac -tpg -ts4".split()
)
OWN_TYPES = [r"^\} (\w+);", r"^typedef [^;({]*?(\w+);", r"^typedef [^;{]*\(\s*\*\s*(\w+)\)"]
# What pg_bsd_indent gets wrong, and PostgreSQL's pgindent corrects, too.
CORRECTIONS = [
    (r"^([A-Za-z_][\w ]*?)[ \t]+(\*+)$", r"\1 \2"),  # the type a function returns
    (r",\.(?=\w)", ", ."),  # designated initializers
]


# Variables have the name of the type "text", too.  Another name of the same length hides them.
VARIABLE, HIDDEN = r"\btext\b(?!\s*\*)", "teXt"


def source_files():
    return sorted(pathlib.Path("src").rglob("*.[ch]"))


def types(files):
    names = set((pathlib.Path(__file__).parent / "typedefs.list").read_text().split())
    for path in files:
        for pattern in OWN_TYPES:
            names.update(re.findall(pattern, path.read_text(), re.MULTILINE))
    return names


def indented(path, text, list_of_types):
    answer = subprocess.run(
        ["pg_bsd_indent", *OPTIONS, f"-U{list_of_types}"],
        input=re.sub(VARIABLE, HIDDEN, text),
        capture_output=True,
        text=True,
    )
    if answer.returncode or answer.stderr.strip():
        # It writes what it does not understand into its output.
        wrong = re.findall(r"\*INDENT\*\* (.*?) \*/", answer.stdout) or [answer.stderr.strip()]
        sys.exit(f"{path}: pg_bsd_indent cannot read this: {wrong[0]}")
    text = answer.stdout.replace(HIDDEN, "text")
    for pattern, correction in CORRECTIONS:
        text = re.sub(pattern, correction, text, flags=re.MULTILINE)
    return text


def main(arguments):
    check = "--check" in arguments
    files = [pathlib.Path(each) for each in arguments if each != "--check"] or source_files()
    differ = 0
    with tempfile.NamedTemporaryFile("w") as list_of_types:
        list_of_types.write("\n".join(sorted(types(source_files()))) + "\n")
        list_of_types.flush()
        for path in files:
            before = path.read_text()
            after = indented(path, before, list_of_types.name)
            if before == after:
                continue
            differ += 1
            if check:
                sys.stdout.writelines(
                    difflib.unified_diff(before.splitlines(True), after.splitlines(True), str(path), "indented")
                )
            else:
                path.write_text(after)
    return 1 if check and differ else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
