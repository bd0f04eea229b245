"""The twin in depth: how a trial stands, what tells two configurations apart, and which template made one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_twin"
down_revision = "0012_revocation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that are null or have a default: the release before goes on working."""
    op.add_column("desired", sa.Column("digest", sa.String(), server_default="", nullable=False))
    op.add_column("desired", sa.Column("template", sa.String(), server_default="", nullable=False))
    op.add_column("desired", sa.Column("template_version", sa.BigInteger(), nullable=True))
    op.add_column("gateway", sa.Column("reported_digest", sa.String(), server_default="", nullable=False))
    op.add_column("gateway", sa.Column("trial", sa.String(), server_default="", nullable=False))
    for name in ("refused_version", "trial_version", "trial_ns"):
        op.add_column("gateway", sa.Column(name, sa.BigInteger(), nullable=True))
