"""Chains: rules, quakes that were noted, firings, what was asked of gateways, and what is inspected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027_chains"
down_revision = "0026_quakes"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables: the release before does not know them."""
    op.create_table(
        "chain_rule",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chain_rule")),
    )
    op.create_table(
        "chain_quake",
        sa.Column("quake", sa.String(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("readings", sa.JSON(), nullable=False),
        sa.Column("fired", sa.JSON(), nullable=False),
        sa.Column("is_rejected", sa.Boolean(), nullable=False),
        sa.Column("is_settled", sa.Boolean(), nullable=False),
        sa.Column("noted_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("quake", name=op.f("pk_chain_quake")),
    )
    op.create_index("ix_chain_quake_is_settled", "chain_quake", ["is_settled"])
    op.create_table(
        "chain_firing",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("quake", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("is_drill", sa.Boolean(), nullable=False),
        sa.Column("intensity", sa.Double(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("fired_ns", sa.BigInteger(), nullable=False),
        sa.Column("by_name", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_firing")),
        sa.UniqueConstraint("rule", "quake", name=op.f("uq_chain_firing_rule_quake")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chain_firing_fired_ns", "chain_firing", ["fired_ns"])
    op.create_table(
        "chain_action",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("firing_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("made_ns", sa.BigInteger(), nullable=False),
        sa.Column("command_id", sa.String(), nullable=True),
        sa.Column("trouble", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["firing_id"], ["chain_firing.id"], name=op.f("fk_chain_action_firing_id")),
        sa.ForeignKeyConstraint(["command_id"], ["command.id"], name=op.f("fk_chain_action_command_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_action")),
    )
    op.create_index("ix_chain_action_firing_id", "chain_action", ["firing_id"])
    op.create_table(
        "chain_inspection",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("firing_id", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("site_key", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("done_ns", sa.BigInteger(), nullable=True),
        sa.Column("done_by", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["firing_id"], ["chain_firing.id"], name=op.f("fk_chain_inspection_firing_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_inspection")),
    )
    op.create_index("ix_chain_inspection_firing_id", "chain_inspection", ["firing_id"])
