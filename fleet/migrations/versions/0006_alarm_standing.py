"""How each alarm stands (ISA-18.2), and who changed it: absolute in every line of the journal, newest in the row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_alarm_standing"
down_revision = "0005_commands"
branch_labels = None
depends_on = None

WORDS = ("by_name", "made_where", "comment", "command")


def upgrade() -> None:
    """Add the columns with defaults: the release before goes on writing rows without them."""
    op.add_column("alarm", sa.Column("standing", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("alarm", sa.Column("change", sa.String(), nullable=False, server_default=""))
    op.add_column("alarm", sa.Column("operated_ns", sa.BigInteger(), nullable=True))
    op.add_column("alarm", sa.Column("changed_ns", sa.BigInteger(), nullable=True))
    op.add_column("alarm_event", sa.Column("standing", sa.BigInteger(), nullable=True))
    for table in ("alarm", "alarm_event"):
        op.add_column(table, sa.Column("until_ns", sa.BigInteger(), nullable=True))
        op.add_column(table, sa.Column("occurrence", sa.BigInteger(), nullable=False, server_default="0"))
        for word in WORDS:
            op.add_column(table, sa.Column(word, sa.String(), nullable=False, server_default=""))
    # What is active was raised by a gateway that knew no acknowledgement: active (1), unacknowledged (2).
    op.execute("UPDATE alarm SET standing = 3 WHERE active")
    op.create_index("ix_alarm_standing", "alarm", ["standing", "priority"], unique=False)
    op.create_index("ix_alarm_event_received_ns", "alarm_event", ["received_ns"], unique=False)
