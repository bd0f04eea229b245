"""Which packets of a station are sent: those of a quake, of the time before and of the time after. Pure.

A packet waits here until it is sent or too old to be of use. What was handed out never comes again: each is sent once.
"""

from __future__ import annotations

from collections import deque

import msgspec

from seismic.packet import Packet, spell_ns
from wire.record import WaveFlag

NEVER = 1 << 63
LATE_NS = 3_000_000_000
"""Packets end up to this long after the onset of a quake before it is known."""


class Span(msgspec.Struct, frozen=True):
    """How much is sent from before and after a quake, and how long it may take until a trigger is known for one."""

    pre_ns: int
    post_ns: int
    hold_ns: int = 0


class Recording:
    """The packets of one station."""

    def __init__(self, span: Span, *, is_continuous: bool) -> None:
        self.change(span, is_continuous=is_continuous)
        self._until_ns = -NEVER
        """What begins before this is of a quake; `NEVER` while one runs."""
        self._waiting: deque[Packet] = deque()

    def change(self, span: Span, *, is_continuous: bool) -> None:
        """Send by other settings from now on."""
        self._span = span
        self._keep_ns = span.pre_ns + span.hold_ns + LATE_NS
        self._is_continuous = is_continuous

    @property
    def is_on(self) -> bool:
        """Whether a quake runs."""
        return self._until_ns == NEVER

    def begin(self, onset_ns: int) -> list[Packet]:
        """Begin with a quake whose onset is at ``onset_ns``; return the packets from before that are to be sent."""
        self._until_ns = NEVER
        found = [packet for packet in self._waiting if _end_ns(packet) > onset_ns - self._span.pre_ns]
        self._waiting.clear()
        return [_of_event(packet) for packet in found]

    def end(self, at_ns: int) -> None:
        """End with a quake: what comes after ``at_ns`` is sent for a while yet."""
        self._until_ns = at_ns + self._span.post_ns

    def put(self, packet: Packet) -> Packet | None:
        """Take a new packet; return it if it is to be sent now."""
        if packet.mono_ns < self._until_ns:
            return _of_event(packet)
        if self._is_continuous:
            return packet
        waiting, newest_ns = self._waiting, _end_ns(packet)
        waiting.append(packet)
        while abs(newest_ns - _end_ns(waiting[0])) >= self._keep_ns:  # an instrument's own clock may go back, too
            waiting.popleft()
        return None


def _end_ns(packet: Packet) -> int:
    return packet.mono_ns + spell_ns(len(packet.counts), packet.rate_hz)


def _of_event(packet: Packet) -> Packet:
    return msgspec.structs.replace(packet, flags=packet.flags | WaveFlag.EVENT)
