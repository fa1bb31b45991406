"""What many tests are given."""

import harness
import pytest


@pytest.fixture(params=["direct", "pooled"])
def path(request):
    """To the server itself, and through PgBouncer in transaction mode."""
    return request.param


@pytest.fixture
def spool(tmp_path):
    """Settings of a spool of its own, and a source."""
    return {"spool": tmp_path / "spool", "source": f"/ff/{tmp_path.name}/{next(harness.numbers)}"}
