"""Kits for sites without a link, and the books that come back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017_kits"
down_revision = "0016_commissioning"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add tables: the release before does not know them."""
    op.create_table(
        "kit",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("laptop_key", sa.String(), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=False),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("made_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kit")),
    )
    op.create_table(
        "site_entry",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kit", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("by_whom", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["kit"], ["kit.id"], name=op.f("fk_site_entry_kit_kit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_entry")),
    )
    op.create_index(op.f("ix_site_entry_kit"), "site_entry", ["kit"])
