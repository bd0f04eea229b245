"""One quake as a station of this gateway tells of it, and whether it counts: where two instruments have to agree, only
once both have triggered. Pure; times are monotonic.

    onset -> pending -> accepted (the other triggered in time, or gives nothing that could be waited for)
                     -> rejected (it did not) -> accepted (it triggers while this one still shakes)
"""

from __future__ import annotations

from enum import Enum

import msgspec

from seismic.report import Report


class Verdict(Enum):
    """Whether a quake counts."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Quake(msgspec.Struct, kw_only=True):
    """A quake that runs. ``number`` names it (`wire.record.QuakeRecord`), ``first`` and ``last`` are its reports."""

    number: int
    first: Report
    last: Report
    decide_ns: int
    """When a verdict is due."""
    verdict: Verdict = Verdict.PENDING
    note: str = ""
    """Why it counts though nobody agreed."""

    @property
    def onset_ns(self) -> int:
        """When it began here."""
        return self.first.onset_at_ns

    @property
    def is_accepted(self) -> bool:
        """Whether it counts."""
        return self.verdict is Verdict.ACCEPTED


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """How the other station stands. ``onset_ns`` is when it last triggered, None if never."""

    name: str
    onset_ns: int | None
    is_triggered: bool
    is_deaf: bool
    """Whether it gives no samples that could trigger: then nobody waits for it."""


def agrees(quake: Quake, partner: Partner, within_ns: int) -> bool:
    """Tell whether the other station has triggered, too: within the window, or it shakes still."""
    if partner.onset_ns is None:
        return False
    return partner.is_triggered or abs(partner.onset_ns - quake.onset_ns) <= within_ns


def decide(quake: Quake, partner: Partner | None, within_ns: int, now_ns: int) -> Verdict:
    """Say whether a quake counts, as far as that is known now. What was accepted stays so."""
    if quake.is_accepted or partner is None or agrees(quake, partner, within_ns):
        return Verdict.ACCEPTED
    if quake.verdict is Verdict.REJECTED:
        return Verdict.REJECTED
    if partner.is_deaf:
        return Verdict.ACCEPTED
    return Verdict.REJECTED if now_ns >= quake.decide_ns else Verdict.PENDING
