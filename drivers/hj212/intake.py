"""Which packets are a present reading of an instrument of ours; split ones are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from drivers.base import Clock
from drivers.errors import FrameError
from drivers.framing.splitter import Splitter
from drivers.hj212.model import Instrument
from drivers.hj212.packet import DATA, HEAD, Packet, measure, merge, parse

PARTS_MOST = 32
"""Packets that one may be split into, which bounds what is held of it."""

HOUR_S, DAY_S = 3600.0, 86_400.0

WallClock = Callable[[], float]
"""Seconds since 1970 UTC."""


class Intake:
    """Packets out of octets; fits `drivers.stream.Splitter`.

    ``faults`` counts what is dropped: garbled stretches, strangers, contradictions, and history, which is what is older
    than the instrument's ``max_age_s`` or older than what the same command told before.
    """

    def __init__(self, instruments: Mapping[str, Instrument], clock: Clock, wall: WallClock) -> None:
        self.faults = 0
        self._instruments = instruments
        self._wall = wall
        self._splitter = Splitter(HEAD, measure, clock)
        self._begun: dict[str, list[Packet]] = {}
        self._newest: dict[tuple[str, str], tuple[datetime, list[Mapping[str, str]]]] = {}

    def forget(self) -> None:
        """Take any time as the newest: what was not handed on may come again, and a clock may have been put back."""
        self._newest.clear()

    def feed(self, data: bytes) -> list[Packet]:
        """Take octets, return the packets to be read and answered; one that is only to be answered has no items."""
        garbled = self._splitter.faults
        frames = self._splitter.feed(data)
        self.faults += self._splitter.faults - garbled
        packets = []
        for frame in frames:
            try:
                packet = self._admit(parse(frame.octets, frame.mono_ns))
            except FrameError:
                self.faults += 1
                continue
            if packet is not None:
                packets.append(packet)
        return packets

    def _admit(self, packet: Packet) -> Packet | None:
        instrument = self._instruments.get(packet.mn)
        if instrument is None or (instrument.password and packet.pw != instrument.password):
            raise FrameError(f"a packet of MN {packet.mn[:24]}, with an MN or PW that is not configured")
        whole = self._join(packet)
        if whole is None or whole.cn not in DATA:
            return replace(packet, items={})
        if self._is_history(whole, instrument):
            self.faults += 1
            return replace(packet, items={}) if instrument.answers_history else None
        return replace(packet, items={}) if self._is_repeat(whole) else whole

    def _join(self, packet: Packet) -> Packet | None:
        """Hold the parts of one packet for each instrument; return it whole when the last has come."""
        if packet.parts == 1:
            return packet
        if packet.parts > PARTS_MOST:
            raise FrameError(f"a packet is split into {packet.parts}, more than {PARTS_MOST}")
        begun = self._begun.pop(packet.mn, [])
        if begun and _identity(begun[0]) != _identity(packet):
            self.faults += 1
            begun = []
        begun = [*(part for part in begun if part.part != packet.part), packet]
        if len(begun) == packet.parts:
            return replace(packet, items=merge(begun))
        self._begun[packet.mn] = begun
        return None

    def _is_history(self, packet: Packet, instrument: Instrument) -> bool:
        sampled = packet.data_time
        now = packet.sent_time if instrument.age_by == "instrument" else self._now(instrument)
        most_s = instrument.max_age_s + _period_s(packet.cn, instrument)
        newest, _ = self._newest.get((packet.mn, packet.cn), (sampled, []))
        return sampled < newest or (now - sampled).total_seconds() > most_s

    def _is_repeat(self, packet: Packet) -> bool:
        """Tell what was handed on already, its answer being lost, from more values of the same time."""
        sampled = packet.data_time
        newest, known = self._newest.get((packet.mn, packet.cn), (sampled, []))
        if sampled > newest:
            known = []
        if packet.items in known:
            return True
        self._newest[packet.mn, packet.cn] = sampled, [*known[-PARTS_MOST:], packet.items]
        return False

    def _now(self, instrument: Instrument) -> datetime:
        zone = timedelta(hours=instrument.utc_offset_h)
        return datetime.fromtimestamp(self._wall(), UTC).replace(tzinfo=None) + zone


def _identity(packet: Packet) -> tuple[str, str, str, int]:
    return packet.qn, packet.st, packet.cn, packet.parts


def _period_s(cn: str, instrument: Instrument) -> float:
    """How long after its time a record of a period can be made: it bears the time at which the period began."""
    return {"2051": instrument.minute_s, "2061": HOUR_S, "2031": DAY_S, "2041": DAY_S}.get(cn, 0.0)
