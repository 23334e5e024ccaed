"""Revocations, and the networks from which accounts have logged in."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "revocations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revocations"),
    )
    op.create_index("ix_revocations_at", "revocations", ["at"])
    op.create_index("ix_revocations_expires_at", "revocations", ["expires_at"])
    op.create_table(
        "known_networks",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("account", "network", name="pk_known_networks"),
    )
    op.create_index("ix_known_networks_expires_at", "known_networks", ["expires_at"])
