"""Makes one file of the verifier: python build_verifier.py [admin_verify.pyz].

It needs nothing but Python 3.11 and the package cryptography; for compressed objects, the module zstandard or the program zstd.
"""

import pathlib
import shutil
import sys
import tempfile
import zipapp

SOURCE = pathlib.Path(__file__).parent / "src" / "admin_client"
PARTS = ("evidence", "verify", "parity/__init__.py", "parity/engine.py", "parity/instant.py")
NAME = "admin_verify.pyz"


def build(target: pathlib.Path) -> None:
    """Writes the file.  Its admin_client has an empty __init__, as the package's own needs a database driver."""
    with tempfile.TemporaryDirectory() as directory:
        package = pathlib.Path(directory) / "admin_client"
        for part in PARTS:
            destination = package / part
            destination.parent.mkdir(parents=True, exist_ok=True)
            if (SOURCE / part).is_dir():
                shutil.copytree(SOURCE / part, destination, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(SOURCE / part, destination)
        (package / "__init__.py").write_text('"""Only what the verifier needs."""\n')
        (pathlib.Path(directory) / "__main__.py").write_text(
            "import sys\n\nfrom admin_client.verify.cli import main\n\nsys.exit(main())\n"
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        zipapp.create_archive(directory, target, interpreter="/usr/bin/env python3", compressed=True)


if __name__ == "__main__":
    build(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else NAME))
