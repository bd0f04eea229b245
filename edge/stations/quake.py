"""The quakes of one station, and whether they count: where two instruments have to agree, once both have triggered.

    onset -> pending -> accepted   the other triggered in time, or gives nothing that could be waited for
                     -> rejected   it did not            -> accepted   it triggers while this one still shakes

A quake that counts nowhere is told once, as rejected. Pure; times are monotonic.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from seismic.report import Report

ENDS = ("closed", "rejected")
"""Reports after which a quake is over."""
NS = 1_000_000_000


class Verdict(Enum):
    """Whether a quake counts."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class Quake(msgspec.Struct, kw_only=True):
    """A quake that runs. ``number`` names it (`wire.record.QuakeRecord`)."""

    number: int
    first: Report
    last: Report
    verdict: Verdict = Verdict.PENDING


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """How the other station stands. ``onset_ns`` is when it last triggered, None if never; ``is_deaf`` says that it
    gives no samples that could trigger."""

    name: str
    onset_ns: int | None
    is_triggered: bool
    is_deaf: bool


class Told(msgspec.Struct, frozen=True):
    """A report that is to be recorded, of the quake of that number."""

    number: int
    report: Report


class Watch:
    """The quakes of one station. ``within_s`` is the window in which its partner has to trigger; 0 without one."""

    def __init__(self, within_s: float = 0.0) -> None:
        self.onset_ns: int | None = None
        """When it last triggered."""
        self._told: list[Told] = []
        self._quake: Quake | None = None
        self.wait(within_s)

    def wait(self, within_s: float) -> None:
        """Give the partner another time from now on."""
        self._within_s = within_s
        self._within_ns = int(within_s * NS)

    @property
    def accepted(self) -> Quake | None:
        """The quake that runs and counts."""
        quake = self._quake
        return quake if quake is not None and quake.verdict is Verdict.ACCEPTED else None

    @property
    def is_triggered(self) -> bool:
        """Whether it shakes, whatever that is."""
        return self._quake is not None

    @property
    def decide_ns(self) -> int | None:
        """When a verdict is due; None if none is."""
        quake = self._quake
        waits = quake is not None and quake.verdict is Verdict.PENDING
        return quake.first.onset_at_ns + self._within_ns if waits and quake is not None else None

    def take_told(self) -> list[Told]:
        """Return what was not told yet."""
        told, self._told = self._told, []
        return told

    def take(self, report: Report, number: int) -> None:
        """Take a report; an onset begins the quake of this number. `decide` is asked for a verdict before the next."""
        if report.state == "onset":
            self.onset_ns = report.onset_at_ns
            self._quake = Quake(number=number, first=report, last=report)
            return
        quake = self._quake
        if quake is None:
            return
        quake.last = report
        if quake.verdict is Verdict.ACCEPTED:
            self._tell(quake, report)
        elif quake.verdict is Verdict.PENDING and report.state in ENDS:
            self._tell(quake, _reject(report, report.reason or "it ended before another instrument triggered"))
        if report.state in ENDS:
            self._quake = None

    def decide(self, partner: Partner | None, now_ns: int) -> None:
        """Say whether the quake that runs counts, as far as that is known now. What was accepted stays so."""
        quake = self._quake
        if quake is None or quake.verdict is Verdict.ACCEPTED:
            return
        if partner is None or self._agrees(quake, partner):
            self._accept(quake, "")
        elif quake.verdict is Verdict.PENDING and partner.is_deaf:
            self._accept(quake, f"station '{partner.name}' gives no samples: counted without it")
        elif quake.verdict is Verdict.PENDING and now_ns >= quake.first.onset_at_ns + self._within_ns:
            quake.verdict = Verdict.REJECTED
            reason = f"station '{partner.name}' has not triggered within {self._within_s:g} s"
            self._tell(quake, _reject(quake.last, reason))

    def _agrees(self, quake: Quake, partner: Partner) -> bool:
        """Whether the other has triggered, too: within the window, or it shakes still."""
        if partner.onset_ns is None:
            return False
        return partner.is_triggered or abs(partner.onset_ns - quake.first.onset_at_ns) <= self._within_ns

    def _accept(self, quake: Quake, note: str) -> None:
        quake.verdict = Verdict.ACCEPTED
        self._tell(quake, msgspec.structs.replace(quake.first, reason=quake.first.reason or note))
        if quake.last is not quake.first:
            self._tell(quake, quake.last)

    def _tell(self, quake: Quake, report: Report) -> None:
        self._told.append(Told(quake.number, report))


def _reject(report: Report, reason: str) -> Report:
    return msgspec.structs.replace(report, state="rejected", reason=reason)
