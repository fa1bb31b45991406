"""Bring the extension to version 1.0, and make the months of its trail."""

from admin_client.migrations import steps

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.update_extension("1.0")
    steps.create_audit_partitions()


def downgrade() -> None:
    """Nothing: no extension goes back to an earlier version, and months that are there are in nobody's way."""
