"""The verifier's command line, called in this process."""

import contextlib
import io

from admin_client.verify import cli


def verify(*arguments: object) -> tuple[int, str]:
    """Exit status and output."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = cli.main([str(argument) for argument in arguments])
    return status, out.getvalue()
