"""What pruned values leave behind, counts that changed, boots that spoke before, and where counts are sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_upkeep"
down_revision = "0002_ledger"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add two tables and the columns."""
    for name in ("reading_minute", "reading_hour"):
        op.create_table(
            name,
            sa.Column("tag_id", BIG_ID, nullable=False),
            sa.Column("at_ns", sa.BigInteger(), nullable=False),
            sa.Column("count", sa.BigInteger(), nullable=False),
            sa.Column("low", sa.Double(), nullable=False),
            sa.Column("high", sa.Double(), nullable=False),
            sa.Column("mean", sa.Double(), nullable=False),
            sa.Column("last", sa.Double(), nullable=False),
            sa.Column("last_ns", sa.BigInteger(), nullable=False),
            sa.ForeignKeyConstraint(["tag_id"], ["tag.id"], name=op.f(f"fk_{name}_tag_id")),
            sa.PrimaryKeyConstraint("tag_id", "at_ns", name=op.f(f"pk_{name}")),
            sqlite_with_rowid=False,
        )
    op.add_column("gateway", sa.Column("former", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("gateway", sa.Column("alternated_ns", sa.BigInteger(), nullable=True))
    op.add_column("tally", sa.Column("changed_ns", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_tally_changed_ns", "tally", ["changed_ns"], unique=False)
    op.add_column("destination", sa.Column("counts_url", sa.String(), nullable=False, server_default=""))
    op.add_column("destination", sa.Column("counted_ns", sa.BigInteger(), nullable=False, server_default="0"))
