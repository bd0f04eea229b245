"""Revocation: whether brokers were told of it, and which gateways are barred."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012_revocation"
down_revision = "0011_registry"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that may be empty. What was revoked before was told at once, or hourly."""
    op.add_column("gateway", sa.Column("barred_ns", sa.BigInteger(), nullable=True))
    op.add_column("certificate", sa.Column("told_ns", sa.BigInteger(), nullable=True))
    op.execute("UPDATE certificate SET told_ns = revoked_ns WHERE revoked_ns IS NOT NULL")
