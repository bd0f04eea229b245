"""The newest value of every tag, from memory: what the console shows while a backlog is still on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from drivers.base import Scan
from wire.sample import Live, Value


class Newest:
    """Newest sample per tag. ``changed`` is set when there is something to send."""

    def __init__(self, wall_at: Callable[[int], int | None]) -> None:
        self._wall_at = wall_at
        self._all: dict[str, tuple[Value, int, int]] = {}
        self._unsent: dict[str, tuple[Value, int, int]] = {}
        self.changed = asyncio.Event()

    def put(self, tags: Sequence[str], scan: Scan) -> None:
        """Take a scan whose columns are ``tags``."""
        mono = scan.mono_ns
        fresh = {tag: (value, good, mono) for tag, value, good in zip(tags, scan.values, scan.quality, strict=True)}
        self._all.update(fresh)
        self._unsent.update(fresh)
        self.changed.set()

    def take(self) -> Live:
        """Return what has changed since the last call."""
        unsent, self._unsent = self._unsent, {}
        self.changed.clear()
        return self._message(unsent)

    def snapshot(self) -> Live:
        """Return every tag."""
        return self._message(self._all)

    def _message(self, tags: dict[str, tuple[Value, int, int]]) -> Live:
        walls = {mono: self._wall_at(mono) for mono in {mono for _, _, mono in tags.values()}}
        return Live(tags={tag: (value, quality, walls[mono]) for tag, (value, quality, mono) in tags.items()})

    def __len__(self) -> int:
        return len(self._all)
