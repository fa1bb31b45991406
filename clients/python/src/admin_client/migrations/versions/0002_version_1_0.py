"""Bring the extension to version 1.0, and give the trail its months."""
from __future__ import annotations

from admin_client.migrations import steps

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.update_extension("1.0")
    steps.create_partitions()


def downgrade() -> None:
    """There is no version before 1.0 to go back to, and months that are there do no harm."""
