"""Earthquakes by station and event, and the streets that the felt area is told by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026_quakes"
down_revision = "0025_waveforms"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables: the release before does not know them."""
    op.create_table(
        "quake",
        sa.Column("id", BIG, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("onset_ns", sa.BigInteger(), nullable=False),
        sa.Column("changed_ns", sa.BigInteger(), nullable=False),
        sa.Column("into_id", BIG, nullable=True),
        sa.Column("told_grade", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quake")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_quake_state", "quake", ["state"])
    _add_station_quake()
    op.create_table(
        "street",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("population", sa.BigInteger(), nullable=True),
        sa.Column("is_approximate", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_street")),
    )


def _add_station_quake() -> None:
    words = ("state", "clock", "reason", "title")
    numbers = ("onset_ns", "mono_ns", "first_ns", "received_ns", "record_id", "grade", "quality")
    peaks = ("duration_s", "pga_gal", "pgv_cm_s", "pgd_cm", "intensity_gb", "intensity_jma")
    perhaps = ("pd_cm", "tau_c_s", "magnitude", "magnitude_error", "lat", "lon")
    op.create_table(
        "station_quake",
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("quake", sa.BigInteger(), nullable=False),
        sa.Column("quake_id", BIG, nullable=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in words),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in numbers),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("peak_ns", "at_ns")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in peaks),
        *(sa.Column(name, sa.Double(), nullable=True) for name in perhaps),
        sa.Column("spectrum", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_station_quake_gateway")),
        sa.ForeignKeyConstraint(["quake_id"], ["quake.id"], name=op.f("fk_station_quake_quake_id")),
        sa.PrimaryKeyConstraint("gateway", "station", "quake", name=op.f("pk_station_quake")),
    )
    for name in ("onset_ns", "quake_id", "record_id"):
        op.create_index(f"ix_station_quake_{name}", "station_quake", [name])
