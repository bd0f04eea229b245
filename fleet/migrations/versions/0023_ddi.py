"""Gateways' DDI clients."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023_ddi"
down_revision = "0020_rollouts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table: the release before does not know it."""
    op.create_table(
        "ddi_client",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("told_ns", sa.BigInteger(), nullable=True),
        sa.Column("asked_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_ddi_client_gateway")),
        sa.PrimaryKeyConstraint("gateway", name=op.f("pk_ddi_client")),
    )
