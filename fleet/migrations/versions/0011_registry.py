"""What a gateway is to be and where it stands: templates of configurations, variables, positions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_registry"
down_revision = "0010_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns with defaults and a new table: the release before goes on working."""
    for table in ("gateway", "claim"):
        op.add_column(table, sa.Column("variables", sa.JSON(), server_default="{}", nullable=False))
        op.add_column(table, sa.Column("lat", sa.Double(), nullable=True))
        op.add_column(table, sa.Column("lon", sa.Double(), nullable=True))
    op.add_column("gateway", sa.Column("template", sa.String(), server_default="", nullable=False))
    op.add_column("gateway", sa.Column("retired_ns", sa.BigInteger(), nullable=True))
    op.add_column("claim", sa.Column("note", sa.String(), server_default="", nullable=False))
    op.create_table(
        "config_template",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("sector", sa.String(), nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "version", name=op.f("pk_config_template")),
    )
