"""Groups of one bus that are read more densely for a while: how densely the bus can bear, and until when. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from edge.schedule import PERIOD_S
from edge.settings import ScanGroup

NS = 1_000_000_000
NEVER = 1 << 63
SHARE_MOST = 0.8
"""Of a line's time that readings may take while some are hurried; the rest is for writes, and for what takes longer."""
COST_UNKNOWN_S = 0.5
"""What a reading is taken to cost until one was answered."""
COST_FADES = 0.1
"""Of a cost that was higher, so much is forgotten with each reading: it rises at once, and falls slowly."""
ANEW_NS = 30 * NS
"""Between two looks at what the line can bear: a group that had not answered has shown its cost meanwhile."""


class Load(msgspec.Struct, frozen=True):
    """A group of a bus, in seconds: its period by the configuration, what one reading takes, and the period asked."""

    name: str
    period_s: float
    cost_s: float
    asked_s: float | None = None


class Ask(msgspec.Struct, frozen=True):
    """How often a group is to be read, until when on the monotonic clock."""

    every_s: float
    until_ns: int


def grant(loads: Sequence[Load]) -> dict[str, float]:
    """The period of each group that is to be read more densely than configured: as asked, or all of them stretched by
    one factor so that the line's readings together take `SHARE_MOST` of its time at most. Never slower than configured.
    """
    eager = {load.name: load for load in loads if load.asked_s is not None and load.asked_s < load.period_s}
    while eager:
        left = SHARE_MOST - sum(load.cost_s / load.period_s for load in loads if load.name not in eager)
        wanted = sum(load.cost_s / _asked(load) for load in eager.values())
        stretch = max(1.0, wanted / left) if left > 0 else math.inf
        fits = {name: load for name, load in eager.items() if _asked(load) * stretch < load.period_s}
        if len(fits) == len(eager):
            return {name: _round(min(_asked(load) * stretch, load.period_s)) for name, load in eager.items()}
        eager = fits
    return {}


def _asked(load: Load) -> float:
    assert load.asked_s is not None
    return load.asked_s


def _round(period_s: float) -> float:
    """Up to a whole millisecond, which is what people read and what the capacity allows."""
    return math.ceil(period_s * 1000 - 1e-6) / 1000


class Hurries:
    """What is asked of one bus, what its readings cost, and what is granted of it."""

    def __init__(self, groups: Iterable[ScanGroup]) -> None:
        self._periods = {one.group.name: one.poll_s or PERIOD_S for one in groups}
        self._costs: dict[str, float] = {}
        self._asks: dict[str, Ask] = {}
        self.granted: Mapping[str, float] = {}
        """{group: the period that it is read at instead of its own}."""
        self.due_ns = NEVER
        """When `end` has something to do."""

    def note(self, group: str, took_ns: int) -> None:
        """Note what a reading has cost."""
        took_s = took_ns / NS
        self._costs[group] = max(took_s, self._costs.get(group, took_s) * (1 - COST_FADES) + took_s * COST_FADES)

    def would(self, asks: Mapping[str, Ask]) -> Mapping[str, float]:
        """What would be granted if this were asked, too."""
        return grant(self._loads(self._join(asks)))

    def ask(self, asks: Mapping[str, Ask], now_ns: int) -> None:
        """Ask for more. Of two about one group the denser holds, for as long as the longer."""
        self._asks = self._join(asks)
        self._settle(now_ns)

    def stop(self, names: Iterable[str], now_ns: int) -> list[str]:
        """Have groups read as configured again; returns those that were asked for."""
        ended = [name for name in names if self._asks.pop(name, None) is not None]
        self._settle(now_ns)
        return ended

    def end(self, now_ns: int) -> list[str]:
        """Take back what is over, and look anew at what the line can bear; returns the groups whose time is over."""
        return self.stop([name for name, ask in self._asks.items() if now_ns >= ask.until_ns], now_ns)

    def find(self, name: str) -> Ask | None:
        """What is asked of a group, None if nothing is."""
        return self._asks.get(name)

    def period_s(self, name: str) -> float:
        """How often a group is read by its configuration."""
        return self._periods[name]

    def _join(self, asks: Mapping[str, Ask]) -> dict[str, Ask]:
        joined = dict(self._asks)
        for name, ask in asks.items():
            known = joined.get(name, ask)
            joined[name] = Ask(min(known.every_s, ask.every_s), max(known.until_ns, ask.until_ns))
        return joined

    def _loads(self, asks: Mapping[str, Ask]) -> list[Load]:
        return [
            Load(name, period_s, self._costs.get(name, COST_UNKNOWN_S), asks[name].every_s if name in asks else None)
            for name, period_s in self._periods.items()
        ]

    def _settle(self, now_ns: int) -> None:
        self.granted = grant(self._loads(self._asks))
        ends = [ask.until_ns for ask in self._asks.values()]
        self.due_ns = min([*ends, now_ns + ANEW_NS]) if ends else NEVER
