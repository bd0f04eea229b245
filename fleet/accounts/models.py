"""Table of accounts."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Role(StrEnum):
    """What an account may do: administrators all, operators everything but accounts, auditors only read."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    AUDITOR = "auditor"


class Account(Base):
    """Somebody who signs in. ``password_hash`` is Argon2id."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    created_ns: Mapped[int]
