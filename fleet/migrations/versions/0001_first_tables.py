"""The first tables: sites, gateways, records with their cursors and readings, alarms, relay, accounts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_first_tables"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "account",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
    )
    op.create_table(
        "destination",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_destination")),
        sa.UniqueConstraint("name", name=op.f("uq_destination_name")),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=True),
        sa.Column("lane", sa.String(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_index(op.f("ix_quarantine_gateway"), "quarantine", ["gateway"], unique=False)
    op.create_table(
        "record",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.Column("captured_ns", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record")),
        sa.UniqueConstraint("gateway", "epoch", "lane", "seq", name=op.f("uq_record_gateway_epoch_lane_seq")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_record_lane_id", "record", ["lane", "id"], unique=False)
    op.create_table(
        "site",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("sector", sa.String(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_site")),
    )
    op.create_table(
        "gateway",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("site_key", sa.String(), nullable=True),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ns", sa.BigInteger(), nullable=True),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("boot", sa.String(), nullable=False),
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("clock_quality", sa.String(), nullable=False),
        sa.Column("session", sa.String(), nullable=False),
        sa.Column("reported_version", sa.BigInteger(), nullable=True),
        sa.Column("reported", sa.JSON(), nullable=True),
        sa.Column("reported_ns", sa.BigInteger(), nullable=True),
        sa.Column("health", sa.JSON(), nullable=True),
        sa.Column("health_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_key"], ["site.key"], name=op.f("fk_gateway_site_key")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_gateway")),
    )
    op.create_table(
        "relay_cursor",
        sa.Column("destination_id", BIG_ID, nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("relayed", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.Column("last_try_ns", sa.BigInteger(), nullable=True),
        sa.Column("last_ok_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["destination_id"], ["destination.id"], name=op.f("fk_relay_cursor_destination_id")),
        sa.PrimaryKeyConstraint("destination_id", "lane", name=op.f("pk_relay_cursor")),
    )
    op.create_table(
        "alarm",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("raised_ns", sa.BigInteger(), nullable=True),
        sa.Column("cleared_ns", sa.BigInteger(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("limit_value", sa.Double(), nullable=True),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_alarm_gateway")),
        sa.PrimaryKeyConstraint("gateway", "name", name=op.f("pk_alarm")),
    )
    op.create_index("ix_alarm_active", "alarm", ["active", "priority"], unique=False)
    op.create_table(
        "alarm_event",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=True),
        sa.Column("received_ns", sa.BigInteger(), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("alarm", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("limit_value", sa.Double(), nullable=True),
        sa.Column("output", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("delay_ns", sa.BigInteger(), nullable=True),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_alarm_event_gateway")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm_event")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alarm_event_gateway_id", "alarm_event", ["gateway", "id"], unique=False)
    op.create_table(
        "cursor",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("epoch", sa.String(), nullable=False),
        sa.Column("lane", sa.String(), nullable=False),
        sa.Column("committed", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_cursor_gateway")),
        sa.PrimaryKeyConstraint("gateway", "epoch", "lane", name=op.f("pk_cursor")),
    )
    op.create_table(
        "desired",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_desired_gateway")),
        sa.PrimaryKeyConstraint("gateway", "version", name=op.f("pk_desired")),
    )
    op.create_table(
        "layout",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("layout_id", sa.LargeBinary(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_layout_gateway")),
        sa.PrimaryKeyConstraint("gateway", "layout_id", name=op.f("pk_layout")),
    )
    op.create_table(
        "tag",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_tag_gateway")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag")),
        sa.UniqueConstraint("gateway", "name", name=op.f("uq_tag_gateway_name")),
    )
    op.create_table(
        "reading",
        sa.Column("tag_id", BIG_ID, nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("quality", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tag_id"], ["tag.id"], name=op.f("fk_reading_tag_id")),
        sa.PrimaryKeyConstraint("tag_id", "at_ns", "record_id", name=op.f("pk_reading")),
        sqlite_with_rowid=False,
    )
