"""What ends the archiver, each with its exit status."""

from typing import NamedTuple


class ArchiveError(Exception):
    """A reason to end: the message is for the log, `status` is the exit status."""

    status = 1


class Refused(ArchiveError):
    """A setting, the key or the bucket is not what an archive needs: nothing was archived."""

    status = 1


class OtherArchiver(ArchiveError):
    """Another archiver writes this archive at the same time."""

    status = 4


class Untrustworthy(ArchiveError):
    """The storage or the topic contradicts itself, so continuing could lose data."""

    status = 5


class Place(NamedTuple):
    """A numbered record of the topic."""

    number: int
    partition: int
    offset: int


class StreamBroken(Exception):
    """One store's stream cannot be archived further.  The others go on; the exit status will be STATUS_BROKEN."""

    second: Place | None = None


class SecondRecord(StreamBroken):
    """A second record has a number that is already taken."""

    def __init__(self, second: Place) -> None:
        super().__init__(
            f"number {second.number} comes a second time, in partition {second.partition} at offset {second.offset}"
        )
        self.second = second


class Rewind(Exception):
    """A number is missing after a start in the middle of the topic: read it again from its beginning."""


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGINT: raised wherever the archiver is, since a crash at any place is safe.

    asyncio lets KeyboardInterrupt through, and logs any other exception that comes up between two tasks.
    """


STATUS_BROKEN = 3
