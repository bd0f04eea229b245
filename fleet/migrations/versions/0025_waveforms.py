"""An index over the packets of waveforms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025_waveforms"
down_revision = "0024_diagnosis"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables: the release before does not know them. Packets that it committed stand in no index."""
    op.create_table(
        "wave_counter",
        sa.Column("id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wave_counter")),
    )
    op.create_table(
        "wave_stream",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("newest_ns", sa.BigInteger(), nullable=False),
        sa.Column("rate_hz", sa.Double(), nullable=False),
        sa.Column("timing", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.BigInteger(), nullable=False),
        sa.Column("untimed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_wave_stream_gateway")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wave_stream")),
        sa.UniqueConstraint("gateway", "name", name=op.f("uq_wave_stream_gateway_name")),
    )
    op.create_index("ix_wave_stream_name", "wave_stream", ["name"])
    op.create_index("ix_wave_stream_station", "wave_stream", ["station"])
    op.create_table(
        "waveform",
        sa.Column("seq", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("numbers", sa.BigInteger(), nullable=False),
        sa.Column("record_id", BIG_ID, nullable=False),
        sa.Column("stream_id", BIG_ID, nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("rate_hz", sa.Double(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("least", sa.BigInteger(), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.Column("timing", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_waveform")),
        sa.UniqueConstraint("record_id", name=op.f("uq_waveform_record_id")),
    )
    op.create_index("ix_waveform_stream_id_start_ns", "waveform", ["stream_id", "start_ns"])
    for name in ("wave_minute", "wave_hour"):
        _create_envelopes(name)
    op.create_table(
        "wave_run",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("stream_id", BIG_ID, nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("rate_hz", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wave_run")),
    )
    op.create_index("ix_wave_run_stream_id_end_ns", "wave_run", ["stream_id", "end_ns"])


def _create_envelopes(name: str) -> None:
    op.create_table(
        name,
        sa.Column("stream_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("least", sa.BigInteger(), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.Column("timing", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "at_ns", name=op.f(f"pk_{name}")),
        sqlite_with_rowid=False,
    )
