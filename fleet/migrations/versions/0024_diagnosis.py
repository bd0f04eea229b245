"""Parts of files that gateways were asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024_diagnosis"
down_revision = "0023_ddi"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table: the release before does not know it."""
    op.create_table(
        "diagnosis_part",
        sa.Column("command_id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("of", sa.BigInteger(), nullable=False),
        sa.Column("octets", sa.BigInteger(), nullable=False),
        sa.Column("record_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["command_id"], ["command.id"], name=op.f("fk_diagnosis_part_command_id")),
        sa.PrimaryKeyConstraint("command_id", "number", name=op.f("pk_diagnosis_part")),
    )
    op.create_index("ix_diagnosis_part_received_ns", "diagnosis_part", ["received_ns"])
