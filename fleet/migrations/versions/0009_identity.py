"""Identity: certificates of gateways, claims, and who asks to get in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_identity"
down_revision = "0008_alarms_of_no_gateway"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "certificate",
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("issued_ns", sa.BigInteger(), nullable=False),
        sa.Column("not_after_ns", sa.BigInteger(), nullable=False),
        sa.Column("pem", sa.String(), nullable=False),
        sa.Column("revoked_ns", sa.BigInteger(), nullable=True),
        sa.Column("revoked_why", sa.String(), nullable=False),
        sa.Column("revoked_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["gateway"], ["gateway.name"], name=op.f("fk_certificate_gateway")),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_certificate")),
    )
    op.create_index("ix_certificate_gateway_issued_ns", "certificate", ["gateway", "issued_ns"], unique=False)
    op.create_index("ix_certificate_key", "certificate", ["key"], unique=False)
    op.create_index("ix_certificate_revoked_ns", "certificate", ["revoked_ns"], unique=False)
    op.create_table(
        "claim",
        sa.Column("id", identity, nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("gateway", sa.String(), nullable=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("site_key", sa.String(), nullable=True),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("made_ns", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=True),
        sa.Column("used_ns", sa.BigInteger(), nullable=True),
        sa.Column("contested_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_key"], ["site.key"], name=op.f("fk_claim_site_key")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claim")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_claim_secret_hash")),
    )
    op.create_index("ix_claim_gateway", "claim", ["gateway"], unique=False)
    op.create_table(
        "enrolment",
        sa.Column("id", identity, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("claim_id", sa.BigInteger(), nullable=True),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("asked_ns", sa.BigInteger(), nullable=False),
        sa.Column("seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("decided_ns", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["claim_id"], ["claim.id"], name=op.f("fk_enrolment_claim_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment")),
        sa.UniqueConstraint("key", name=op.f("uq_enrolment_key")),
    )
    op.create_table(
        "enrolment_event",
        sa.Column("id", identity, nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("claim_id", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("by_whom", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment_event")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_enrolment_event_gateway", "enrolment_event", ["gateway"], unique=False)
