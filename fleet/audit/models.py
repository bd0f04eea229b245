"""Tables of the audit log. The database itself refuses to change or delete a line (migration 0010)."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class AuditLine(Base):
    """One thing that somebody did, or tried to. ``id`` counts 1, 2, 3 ... without a hole.

    ``actor`` is an account's name, "" for a stranger; ``via`` how they came: console, basic, token:<name>,
    cli, or enrol for a gateway at the door.
    ``action`` and ``target`` say what was done with what, ``outcome`` is done, refused or failed, ``detail`` is JSON.
    ``hash`` is SHA-256 (hex) over the hash before it and this line's other columns (`fleet.audit.chain`).
    """

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    at_ns: Mapped[int]
    actor: Mapped[str]
    via: Mapped[str]
    address: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    outcome: Mapped[str]
    detail: Mapped[str]
    hash: Mapped[str]


class AuditHead(Base):
    """The newest line's number and hash. There is one row."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    number: Mapped[int]
    hash: Mapped[str]
