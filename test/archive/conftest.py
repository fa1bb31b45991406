"""What many tests are given."""

import harness
import pytest
from producer import Worker


@pytest.fixture
def topic():
    """A topic of three partitions that nobody else uses."""
    return harness.make_topic()


@pytest.fixture
def worker(topic):
    """A store that writes into it."""
    return Worker(harness.BOOTSTRAP, topic, 3)


@pytest.fixture
def archiver(tmp_path, topic):
    """An archiver of that topic with a bucket of its own; its process is ended."""
    made = harness.Archiver(tmp_path, topic)
    yield made
    made.kill()
