"""Notifications: the alarms that are watched, the notices that are due, and the messages that carry them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_notifications"
down_revision = "0006_alarm_standing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "notify_cursor",
        sa.Column("id", identity, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notify_cursor")),
    )
    op.create_table(
        "notify_watch",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("alarm", sa.String(), nullable=False),
        sa.Column("occurrence", sa.BigInteger(), nullable=False),
        sa.Column("since_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "alarm", name=op.f("pk_notify_watch")),
    )
    op.create_table(
        "notify_message",
        sa.Column("id", identity, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("contact", sa.String(), nullable=False),
        sa.Column("made_ns", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("failing_ns", sa.BigInteger(), nullable=True),
        sa.Column("tried_ns", sa.BigInteger(), nullable=True),
        sa.Column("next_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notify_message")),
        sa.UniqueConstraint("key", name=op.f("uq_notify_message_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_notify_message_contact_state", "notify_message", ["contact", "state"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", identity, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("alarm", sa.String(), nullable=False),
        sa.Column("occurrence", sa.BigInteger(), nullable=False),
        sa.Column("contact", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("decided_ns", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["notify_message.id"], name=op.f("fk_notice_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint(
            *("gateway", "alarm", "occurrence", "contact", "step"),
            name=op.f("uq_notice_gateway_alarm_occurrence_contact_step"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_notice_message_id", "notice", ["message_id"], unique=False)
