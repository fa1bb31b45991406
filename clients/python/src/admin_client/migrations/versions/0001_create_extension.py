"""Create the extension, or take over the one that is there."""

from admin_client.migrations import steps

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    steps.create_extension()


def downgrade() -> None:
    steps.refuse_loss()
    steps.drop_extension()
