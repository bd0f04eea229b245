"""The newest value of every tag, from memory: what the console shows while a backlog is still on its way."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice, repeat

from drivers.base import Scan
from wire.sample import Live, is_good

TAGS_PER_S = 5000
"""Above this the values of a tag are not all sent, but the newest of each again and again."""
BURST_S = 0.2
"""A gateway that sends less than that may send this much of a second's worth at once."""


TAG_OCTETS = 48
"""What a tag takes in a live message, about: its name, value, quality and time."""


class Pace:
    """How many values go out live: the first at once, more than `TAGS_PER_S` never for long."""

    def __init__(self) -> None:
        self._spent_s = -math.inf
        """The time up to which what was sent has used up the rate."""

    def pause_s(self, tags: int, now_s: float) -> float:
        """Note that so many values go out now; return how long the next ones wait."""
        self._spent_s = max(self._spent_s, now_s - BURST_S) + tags / TAGS_PER_S
        return max(0.0, self._spent_s - now_s)


class Newest:
    """The newest scan of every group, taken apart only when it is sent. ``changed`` is set when there is one to."""

    def __init__(self, wall_at: Callable[[int], int | None]) -> None:
        self._wall_at = wall_at
        self._all: dict[str, tuple[Sequence[str], Scan]] = {}
        self._unsent: dict[str, tuple[Sequence[str], Scan]] = {}
        self.changed = asyncio.Event()

    def put(self, tags: Sequence[str], scan: Scan) -> None:
        """Take a scan whose columns are ``tags``."""
        self._all[scan.group] = self._unsent[scan.group] = (tags, scan)
        self.changed.set()

    def keep(self, groups: Collection[str]) -> None:
        """Forget all other groups: they are no longer configured."""
        self._all = {group: newest for group, newest in self._all.items() if group in groups}
        self._unsent = {group: newest for group, newest in self._unsent.items() if group in groups}

    def take(self) -> Live:
        """Return what has changed since the last call."""
        unsent, self._unsent = self._unsent, {}
        self.changed.clear()
        return self._message(unsent.values())

    def snapshot(self) -> Live:
        """Return every tag."""
        return self._message(self._all.values())

    def _message(self, newest: Iterable[tuple[Sequence[str], Scan]]) -> Live:
        live = Live(tags={})
        for tags, scan in newest:
            wall_ns = self._wall_at(scan.mono_ns)
            live.tags.update(zip(tags, zip(scan.values, scan.quality, repeat(wall_ns)), strict=True))
        return live

    def find_good(self, groups: Iterable[str], since_ns: int) -> frozenset[str]:
        """Name the tags of these groups whose newest value is good, and was read after a time (monotonic, in ns)."""
        found: set[str] = set()
        for group in groups:
            newest = self.of(group)
            if newest is not None and newest[1].mono_ns > since_ns:
                columns, scan = newest
                found |= {name for name, quality in zip(columns, scan.quality, strict=True) if is_good(quality)}
        return frozenset(found)

    def of(self, group: str) -> tuple[Sequence[str], Scan] | None:
        """Return the newest scan of a group and the tags that are its columns; None if there was none yet."""
        return self._all.get(group)

    def __len__(self) -> int:
        return sum(len(tags) for tags, _ in self._all.values())


def split(live: Live, size_bytes: int) -> Iterator[Live]:
    """Take a message apart into messages of about ``size_bytes``, at least one tag each."""
    tags = iter(live.tags.items())
    while some := dict(islice(tags, max(1, size_bytes // TAG_OCTETS))):
        yield Live(tags=some)
