"""`python -m admin_client.archive`: the archiver, and the maker of its key."""

import logging
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from admin_client.archive import keys
from admin_client.archive.archiver import Archiver
from admin_client.archive.errors import ArchiveError, Stopped
from admin_client.archive.settings import parser, settings
from admin_client.evidence import seal

_log = logging.getLogger("admin_client.archive")


def _stop(number: int, frame: FrameType | None) -> None:
    """Ends the archiver wherever it is: the next run goes on from what is sealed."""
    del frame
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stopped(signal.Signals(number).name)


def _leave(status: int) -> NoReturn:
    """Ends the process without its handles' destructors, which would wait for a broker that is away."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)


def _run(archiver: Archiver) -> int:
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        return archiver.run()
    except Stopped as reason:
        _log.info("stopped by %s; what is not sealed yet is in the topic", reason)
        _leave(archiver.status())
    except ArchiveError as error:
        _log.error("%s", error)
        _leave(error.status)


def main(arguments: list[str]) -> int:
    """The exit status of a command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["run", *arguments]
    logging.getLogger("botocore").setLevel(logging.WARNING)
    given = parser().parse_args(arguments)
    try:
        if given.command == "keygen":
            key = keys.generate(given.file)
            print(seal.key_id(key.public_key().public_bytes_raw()))
            return 0
        chosen = settings(given)
        return _run(Archiver(chosen, keys.load(chosen.key)))
    except ArchiveError as error:
        _log.error("%s", error)
        return error.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
