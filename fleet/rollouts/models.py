"""Tables of rollouts, of the actions that they consist of, and of what happened to each."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from fleet.db import Base, BigId


class Rollout(Base):
    """A release on its way to many gateways, wave by wave.

    ``state`` is one of `fleet.rollouts.states`; ``reason`` says why it is paused, denied or stopped, and ``cause`` the
    same in figures where the fleet paused it by itself (`fleet.rollouts.decision.Cause`). ``target`` chooses the
    gateways, ``waves`` and ``rules`` say in which order and under which conditions (`fleet.rollouts.plan`);
    ``waves_count`` is how many waves have gateways. ``wave`` is the one that runs, counted from 0; None before the
    first. ``approvals`` are the accounts that have
    approved it, besides its author.
    """

    __tablename__ = "rollout"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    version: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str] = mapped_column(default="")
    cause: Mapped[dict[str, Any]] = mapped_column(default=dict)
    target: Mapped[dict[str, Any]]
    waves: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)
    rules: Mapped[dict[str, Any]]
    waves_count: Mapped[int]
    wave: Mapped[int | None]
    author: Mapped[str]
    approvals: Mapped[list[str]]
    created_ns: Mapped[int]
    started_ns: Mapped[int | None]
    wave_ns: Mapped[int | None]
    ended_ns: Mapped[int | None]


class UpdateAction(Base):
    """One release for one gateway. ``state`` is one of `fleet.rollouts.states`, ``step`` the last word of the gateway.

    ``attempt`` counts from 1; ``deadline_ns`` is when an attempt that has been offered counts as timed out.
    ``until_ns`` is the end of the maintenance window it was last offered in. ``is_excused``: its failure counts no
    more in its wave, because an operator has had the rollout go on.
    """

    __tablename__ = "update_action"
    __table_args__ = (
        sa.Index("ix_update_action_gateway_id", "gateway", "id"),
        sa.Index("ix_update_action_rollout_wave", "rollout_id", "wave"),
        sa.Index("ix_update_action_state", "state"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    gateway: Mapped[str] = mapped_column(sa.ForeignKey("gateway.name"))
    rollout_id: Mapped[int | None] = mapped_column(sa.ForeignKey("rollout.id"))
    wave: Mapped[int] = mapped_column(default=0)
    kind: Mapped[str]
    version: Mapped[str]
    state: Mapped[str]
    step: Mapped[str] = mapped_column(default="")
    detail: Mapped[str] = mapped_column(default="")
    done: Mapped[int] = mapped_column(default=0)
    of: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=1)
    attempts_most: Mapped[int] = mapped_column(default=1)
    timeout_s: Mapped[int]
    budget_bytes_per_s: Mapped[int] = mapped_column(default=0)
    is_forced: Mapped[bool] = mapped_column(default=False)
    is_excused: Mapped[bool] = mapped_column(default=False)
    author: Mapped[str]
    created_ns: Mapped[int]
    offered_ns: Mapped[int | None]
    deadline_ns: Mapped[int | None]
    until_ns: Mapped[int | None]
    changed_ns: Mapped[int]
    closed_ns: Mapped[int | None]


class UpdateEvent(Base):
    """A line of an action's story: what its gateway said, or what became of it otherwise."""

    __tablename__ = "update_event"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    action_id: Mapped[int] = mapped_column(sa.ForeignKey("update_action.id"), index=True)
    at_ns: Mapped[int]
    attempt: Mapped[int]
    step: Mapped[str]
    detail: Mapped[str] = mapped_column(default="")
