"""How an alarm stands, beside whether it is active."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_alarms"
down_revision = "0005_commands"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("alarm", sa.Column("standing", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("alarm", sa.Column("until_ns", sa.BigInteger(), nullable=True))
    op.add_column("alarm", sa.Column("occurrence", sa.BigInteger(), nullable=False, server_default="0"))
