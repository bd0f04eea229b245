"""What a rollout does next, given how its gateways stand. Pure.

Gateways that were cancelled, or whose failure an operator has excused by going on, count nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from fleet.rollouts.plan import Rules
from fleet.rollouts.states import FINISHED, PAUSED, RUNNING, STOPPED, STOPPING


class WaveCount(msgspec.Struct, frozen=True, kw_only=True):
    """The gateways of a wave: ``pending`` are those that have not come to an end yet."""

    pending: int = 0
    finished: int = 0
    errors: int = 0

    @property
    def executed(self) -> int:
        """Return how many have come to an end."""
        return self.finished + self.errors

    @property
    def size(self) -> int:
        """Return how many count."""
        return self.executed + self.pending


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a rollout paused by itself: more ``errors`` among the ``executed`` than ``limit`` percent, or too ``few``
    successes in a wave that is over. ``wave`` counts from 0."""

    kind: Literal["errors", "few"]
    wave: int
    errors: int
    executed: int
    finished: int
    size: int
    limit: float


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout becomes."""

    state: str
    wave: int | None
    cause: Cause | None = None


def decide(state: str, wave: int | None, rules: Rules, counts: Sequence[WaveCount]) -> Step | None:
    """Return the next step of a rollout, None if it stays as it is. ``counts`` has an entry for each wave."""
    if state == STOPPING:
        return None if any(count.pending for count in counts) else Step(state=STOPPED, wave=wave)
    if state != RUNNING or wave is None:
        return None
    for number, count in enumerate(counts[: wave + 1]):
        if has_failed(count, rules):
            return Step(state=PAUSED, wave=wave, cause=_blame("errors", number, count, rules.error_percent))
    if has_succeeded(counts[wave], rules):
        if wave + 1 < len(counts):
            return Step(state=RUNNING, wave=wave + 1)
        return None if any(count.pending for count in counts) else Step(state=FINISHED, wave=wave)
    if counts[wave].pending == 0:
        return Step(state=PAUSED, wave=wave, cause=_blame("few", wave, counts[wave], rules.success_percent))
    return None


def has_failed(count: WaveCount, rules: Rules) -> bool:
    """Tell whether a wave has too many errors. A wave that is smaller than the minimum is judged once it is over."""
    enough = count.executed >= min(rules.executed_least, count.size)
    return enough and count.errors * 100 > rules.error_percent * count.executed


def has_succeeded(count: WaveCount, rules: Rules) -> bool:
    """Tell whether so many of a wave run the release that the next one may begin."""
    return count.finished * 100 >= rules.success_percent * count.size


def describe(cause: Cause) -> str:
    """Put a cause into words; what the gateways said follows in the reason of the rollout."""
    if cause.kind == "errors":
        share = 100 * cause.errors / cause.executed
        return (
            f"wave {cause.wave + 1}: {cause.errors} of {cause.executed} gateways failed ({share:.0f} %), "
            f"more than {cause.limit:g} %"
        )
    return (
        f"wave {cause.wave + 1} is over: {cause.finished} of {cause.size} gateways run the release, "
        f"{cause.limit:g} % are wanted"
    )


def _blame(kind: Literal["errors", "few"], wave: int, count: WaveCount, limit: float) -> Cause:
    return Cause(
        kind=kind,
        wave=wave,
        errors=count.errors,
        executed=count.executed,
        finished=count.finished,
        size=count.size,
        limit=limit,
    )
