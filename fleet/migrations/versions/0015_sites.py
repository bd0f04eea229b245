"""Devices of their own: those that gateways report, and those that a site is to have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_sites"
down_revision = "0014_twin"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables. Gateways fill the first one when they report next."""
    op.create_table(
        "device",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("bus", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("first_ns", sa.BigInteger(), nullable=False),
        sa.Column("gone_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_device_gateway")),
        sa.PrimaryKeyConstraint("gateway", "name", name=op.f("pk_device")),
    )
    op.create_table(
        "expected_device",
        sa.Column("site_key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("tags", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("made_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_key"], ["site.key"], name=op.f("fk_expected_device_site_key")),
        sa.PrimaryKeyConstraint("site_key", "name", name=op.f("pk_expected_device")),
    )
