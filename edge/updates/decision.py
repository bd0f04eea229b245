"""What a target, a restart or a look at a trial means for an update. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from edge.trial import Sight
from edge.updates.slots import Last, Trial
from edge.updates.work import Work
from wire.update import Step, Target

ORDERS_MOST = 3
"""So often the launcher is asked to try one release; one that never does so is another's, or broken."""

STARTS_MOST = 3
"""So often profiles are tried anew after the agent ended in the midst of it; then they are taken for the reason."""

Answer = Literal["begin", "tell", "cancel", "decline", "ignore"]


def answer(work: Work | None, target: Target) -> Answer:
    """Say what to do about a target, given the newest work of its kind.

    A trial goes to its end whatever the fleet wants meanwhile: the launcher alone ends it. An action of another version
    is another one: a fleet that was restored from a backup gives numbers a second time.
    """
    if work is None or (work.action, work.version) != (target.action, target.version):
        if target.is_cancelled:
            return "decline"
        return "ignore" if work is not None and work.step in ("installed", "trying") else "begin"
    if target.is_cancelled:
        return "tell" if work.is_over or work.step in ("installed", "trying") else "cancel"
    if target.attempt > work.attempt and work.is_over:
        return "begin"
    return "tell"


def begin(target: Target, at_ns: int | None) -> Work:
    """Begin an attempt."""
    return Work(
        action=target.action,
        kind=target.kind,
        version=target.version,
        attempt=target.attempt,
        at_ns=at_ns,
        until_ns=target.until_ns,
        budget_bytes_per_s=target.budget_bytes_per_s,
    )


OUTCOMES: Mapping[str, Step] = {
    "confirmed": "confirmed",
    "rolled-back": "rolled-back",
    "inconclusive": "inconclusive",
    "refused": "failed",
}
"""{how the launcher says that a trial ended: step}. What it refuses to try was damaged after it was verified."""


def recover(work: Work, trial: Trial | None, last: Last | None) -> Work:
    """Say where an update stands after a start: the launcher knows better than what was kept before it."""
    if work.is_over:
        return work
    if work.kind != "agent":
        return _recover_profiles(work)
    if trial is not None and trial.action == work.trial:
        return msgspec.structs.replace(work, step="trying")
    is_its = last is not None and (last.action, last.version) == (work.trial, work.version)
    if last is not None and is_its and last.outcome in OUTCOMES:
        return msgspec.structs.replace(work, step=OUTCOMES[last.outcome], detail=last.reason)
    if work.step in ("installed", "trying"):
        if work.orders >= ORDERS_MOST:
            said = f"the launcher was asked {work.orders} times to try it, and never did"
            return msgspec.structs.replace(work, step="failed", detail=said)
        return msgspec.structs.replace(work, step="installed")
    return work


def _recover_profiles(work: Work) -> Work:
    if work.step != "trying" or work.orders < STARTS_MOST:
        return work
    said = f"the agent ended {work.orders} times while they were tried"
    return msgspec.structs.replace(work, step="rolled-back", detail=said)


def adopt(trial: Trial) -> Work:
    """Make a work for a trial of which nothing else is known: its file was lost."""
    action, _, attempt = trial.action.rpartition(".")
    return Work(
        action=action, kind="agent", version=trial.version, attempt=int(attempt) if attempt.isdecimal() else 1,
        step="trying",
    )  # fmt: skip


def find_waits(
    work: Work, sights: Mapping[str, Sight] | None, began_ns: int, *, has_session: bool, is_acknowledged: bool
) -> tuple[str, ...]:
    """Name what a version on trial still waits for before it may be confirmed.

    A place that was well before, and that the running configuration still has, must have had a good scan since the
    start. ``sights`` is None while nothing runs yet.
    """
    if sights is None:
        return ("acquisition",)
    waits = [] if has_session else ["the fleet's welcome"]
    if not is_acknowledged:
        waits.append("the fleet's acknowledgement of a new record")
    waits += [place for place in work.well if place in sights and sights[place].good_ns <= began_ns]
    return tuple(waits)


def is_too_late(work: Work, now_ns: int | None) -> bool:
    """Tell whether the maintenance window is over; it does not bind where the time is not known."""
    return work.until_ns is not None and now_ns is not None and now_ns >= work.until_ns
