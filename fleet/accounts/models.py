"""Tables of accounts, of the sites that each may see, and of what they sign in with besides a password."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Role(StrEnum):
    """What an account may do. `fleet.accounts.authorization.GRANTS` says what that is."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    TECHNICIAN = "technician"
    ENTERPRISE = "enterprise"
    AUDITOR = "auditor"


class Account(Base):
    """Somebody who signs in. ``password_hash`` is Argon2id, "" for an account without a password.

    ``version`` grows with every change of rights or secrets: a session that began with an older one has ended.
    ``totp_secret`` is base 32, "" without a second factor; ``totp_step`` the newest step of 30 s that was used, so that
    no code works twice. ``subject`` is what an OpenID provider calls this person:
    "issuer sub".
    """

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    created_ns: Mapped[int]
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    enabled: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    totp_secret: Mapped[str] = mapped_column(default="", server_default="")
    totp_step: Mapped[int] = mapped_column(default=0, server_default="0")
    subject: Mapped[str | None]

    __table_args__ = (sa.Index("ix_account_subject", "subject", unique=True),)


class AccountSite(Base):
    """A site that an account of an enterprise sees. It sees no other."""

    __tablename__ = "account_site"

    account_id: Mapped[int] = mapped_column(sa.BigInteger(), sa.ForeignKey("account.id"), primary_key=True)
    site_key: Mapped[str] = mapped_column(sa.ForeignKey("site.key"), primary_key=True)


class RecoveryCode(Base):
    """A code that stands for the second factor once. ``code_hash`` is SHA-256 of 80 random bits."""

    __tablename__ = "recovery_code"

    account_id: Mapped[int] = mapped_column(sa.BigInteger(), sa.ForeignKey("account.id"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(primary_key=True)


class ApiToken(Base):
    """A key of a program that acts for an account. ``token_hash`` is SHA-256 of 256 random bits.

    ``scopes`` are permissions (`fleet.accounts.authorization.Permission`); what the account's role lacks, no scope
    gives. ``expires_ns`` is UTC in ns.
    """

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(sa.BigInteger(), sa.ForeignKey("account.id"))
    name: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    created_ns: Mapped[int]
    expires_ns: Mapped[int]
