"""${message}."""

from admin_client.migrations import steps

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else 'steps.update_extension("")'}


def downgrade() -> None:
    """Nothing: no extension goes back to an earlier version."""
