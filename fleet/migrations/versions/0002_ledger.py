"""The loss ledger, the counts to reconcile by, and what is left of lost minutes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_ledger"
down_revision = "0001_first_tables"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add three tables."""
    op.create_table(
        "loss",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("from_ns", sa.BigInteger(), nullable=True),
        sa.Column("to_ns", sa.BigInteger(), nullable=True),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_loss_gateway")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loss")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_loss_gateway_id", "loss", ["gateway", "id"], unique=False)
    op.create_table(
        "tally",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("hour_ns", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("quarantined", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_tally_gateway")),
        sa.PrimaryKeyConstraint("gateway", "lane", "hour_ns", name=op.f("pk_tally")),
    )
    op.create_table(
        "lost_minute",
        sa.Column("tag_id", BIG_ID, nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["tag_id"], ["tag.id"], name=op.f("fk_lost_minute_tag_id")),
        sa.PrimaryKeyConstraint("tag_id", "at_ns", name=op.f("pk_lost_minute")),
        sqlite_with_rowid=False,
    )
