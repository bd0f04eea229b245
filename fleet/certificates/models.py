"""Table of the certificates that the authority has issued to gateways."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base


class Certificate(Base):
    """One certificate. ``serial`` in hexadecimal; ``key`` is the SHA-256 of its public key (`provisioning.keys`).

    ``pem`` is the certificate and its issuer's, as its gateway got it. Once ``revoked_ns`` is set, its key gets no
    other; ``told_ns`` is when brokers were told of that.
    """

    __tablename__ = "certificate"
    __table_args__ = (sa.Index("ix_certificate_gateway_issued_ns", "gateway", "issued_ns"),)

    serial: Mapped[str] = mapped_column(primary_key=True)
    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"))
    key: Mapped[str] = mapped_column(index=True)
    issued_ns: Mapped[int]
    not_after_ns: Mapped[int]
    pem: Mapped[str]
    revoked_ns: Mapped[int | None] = mapped_column(index=True)
    told_ns: Mapped[int | None]
    revoked_why: Mapped[str] = mapped_column(default="")
    revoked_by: Mapped[str] = mapped_column(default="")
