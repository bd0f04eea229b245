"""Alarms of no gateway: their rows name none, so the foreign key goes; and how much each device delivered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_alarms_of_no_gateway"
down_revision = "0007_notifications"
branch_labels = None
depends_on = None

TABLES: dict[str, dict[str, bool]] = {"alarm": {}, "alarm_event": {"sqlite_autoincrement": True}}


def upgrade() -> None:
    """Loosen what the release before keeps by itself: it goes on writing rows that name a gateway."""
    for table, options in TABLES.items():
        with op.batch_alter_table(table, table_kwargs=options) as batch:
            batch.drop_constraint(f"fk_{table}_gateway", type_="foreignkey")
    op.create_index("ix_alarm_event_gateway_alarm_id", "alarm_event", ["gateway", "alarm", "id"], unique=False)
    op.create_table(
        "device_rate",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("good", sa.BigInteger(), nullable=False),
        sa.Column("last_due", sa.BigInteger(), nullable=False),
        sa.Column("last_good", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_device_rate_gateway")),
        sa.PrimaryKeyConstraint("gateway", "device", name=op.f("pk_device_rate")),
    )
