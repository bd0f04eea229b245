"""Gateways that take another's place."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018_replaces"
down_revision = "0017_kits"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that have a default: the release before goes on working."""
    op.add_column("claim", sa.Column("replaces", sa.String(), server_default="", nullable=False))
    op.add_column("gateway", sa.Column("replaced_by", sa.String(), server_default="", nullable=False))
