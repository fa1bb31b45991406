"""The package says that it is typed (py.typed): what it says has to hold."""

import os
import pathlib
import subprocess
import sys

PACKAGE = pathlib.Path(__file__).parents[1]


def test_types():
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", os.devnull], cwd=PACKAGE, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
