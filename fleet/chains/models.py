"""Tables of chains: rules, quakes that were noted, what fired, what was asked of whom, and what is to be inspected."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId

FIRED, LATE = "fired", "late"
"""States of a firing; late: the fleet learnt of the quake too late to set anything going."""


class ChainRule(Base):
    """A rule: ``content`` is `fleet.chains.rules.Rule` as a document, ``position`` its place in the list."""

    __tablename__ = "chain_rule"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    is_on: Mapped[bool]
    content: Mapped[dict[str, Any]]
    changed_ns: Mapped[int]
    changed_by: Mapped[str]


class ChainQuake(Base):
    """A quake that was noted: ``readings`` is {station: `fleet.chains.decision.Reading` as a document}.

    ``fired`` names the rules that its reports have fired already, while they were taken for those of another quake.
    Until it ``is_settled`` it is still to be held against the rules, whatever restarts in between.
    """

    __tablename__ = "chain_quake"
    __table_args__ = (sa.Index("ix_chain_quake_is_settled", "is_settled"),)

    quake: Mapped[str] = mapped_column(primary_key=True)
    at_ns: Mapped[int]
    readings: Mapped[dict[str, Any]]
    fired: Mapped[list[str]] = mapped_column(sa.JSON())
    is_rejected: Mapped[bool]
    is_settled: Mapped[bool]
    noted_ns: Mapped[int]


class ChainFiring(Base):
    """A rule was fired by a quake, once; ``content`` is the rule as it was then. A drill has a quake of its own name.

    ``by`` is who held a drill, empty where a quake did it.
    """

    __tablename__ = "chain_firing"
    __table_args__ = (
        sa.UniqueConstraint("rule", "quake"),
        sa.Index("ix_chain_firing_fired_ns", "fired_ns"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    rule: Mapped[str]
    quake: Mapped[str]
    state: Mapped[str]
    is_drill: Mapped[bool]
    intensity: Mapped[float]
    at_ns: Mapped[int]
    fired_ns: Mapped[int]
    by: Mapped[str] = mapped_column("by_name")
    content: Mapped[dict[str, Any]]


class ChainAction(Base):
    """What was asked of a gateway: ``kind`` is the command's name, ``what`` the alarm or the groups.

    ``holds`` is False where that is taken back. ``trouble`` says why nothing could be sent; then there is no command.
    """

    __tablename__ = "chain_action"
    __table_args__ = (sa.Index("ix_chain_action_firing_id", "firing_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    firing_id: Mapped[int] = mapped_column(sa.BigInteger(), sa.ForeignKey("chain_firing.id"))
    kind: Mapped[str]
    gateway: Mapped[str]
    what: Mapped[str]
    holds: Mapped[bool]
    made_ns: Mapped[int]
    command_id: Mapped[str | None] = mapped_column(sa.ForeignKey("command.id"))
    trouble: Mapped[str]


class ChainInspection(Base):
    """A place to be looked at. ``site_key`` is empty for one that is no site; ``done_by`` ticked it off."""

    __tablename__ = "chain_inspection"
    __table_args__ = (sa.Index("ix_chain_inspection_firing_id", "firing_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    firing_id: Mapped[int] = mapped_column(sa.BigInteger(), sa.ForeignKey("chain_firing.id"))
    title: Mapped[str]
    site_key: Mapped[str]
    place: Mapped[str]
    done_ns: Mapped[int | None]
    done_by: Mapped[str]
    comment: Mapped[str]
