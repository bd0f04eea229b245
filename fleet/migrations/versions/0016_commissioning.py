"""Commissioning: what a technician gave on site, what gateways check of themselves, trials of outputs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016_commissioning"
down_revision = "0015_sites"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXTS = ("site_key", "template", "note", "waits", "signed_by", "signed_via", "report_sha256")
TIMES = ("asked_ns", "not_after_ns", "signed_ns")


def upgrade() -> None:
    """Add tables: the release before goes on working."""
    op.create_table(
        "commissioning",
        sa.Column("claim_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("request_key", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("technician", sa.String(), nullable=False),
        sa.Column("begun_ns", sa.BigInteger(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("photo", sa.LargeBinary(), nullable=True),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.Column("strokes", sa.JSON(), nullable=False),
        sa.Column("report", sa.LargeBinary(), nullable=True),
        *(sa.Column(name, sa.String(), server_default="", nullable=False) for name in TEXTS),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in TIMES),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.id"], name=op.f("fk_commissioning_claim_id")),
        sa.PrimaryKeyConstraint("claim_id", name=op.f("pk_commissioning")),
        sa.UniqueConstraint("request_key", name=op.f("uq_commissioning_request_key")),
    )
    op.create_index(op.f("ix_commissioning_gateway"), "commissioning", ["gateway"])
    op.create_table(
        "output_trial",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("output", sa.String(), nullable=False),
        sa.Column("command_id", sa.String(), nullable=False),
        sa.Column("asked_ns", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("was_seen", sa.Boolean(), nullable=True),
        sa.Column("seen_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_output_trial")),
    )
    op.create_index(op.f("ix_output_trial_gateway"), "output_trial", ["gateway"])
    op.create_table(
        "reported_checks",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_reported_checks_gateway")),
        sa.PrimaryKeyConstraint("gateway", name=op.f("pk_reported_checks")),
    )
