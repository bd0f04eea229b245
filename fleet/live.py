"""What is newest, in memory: each tag's value, each gateway's health, and a number that says when alarms changed.

Web threads read and wait here; `fleet.livefeed` fills it from the broker and the database. Every change gets the next
number of one counter, so a reader that was away asks for what came `after` the number it last saw.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec

from fleet.burden import TAGS_MOST
from wire.sample import Value

NAME_MAX = 500
TEXT_MAX = 500
"""Characters kept of a value that is a text."""


class LiveValue(msgspec.Struct, frozen=True):
    """The newest value of a tag. ``at_ns`` is UTC or None while the gateway's clock is unset."""

    value: Value
    quality: int
    at_ns: int | None


class LiveHealth(msgspec.Struct, frozen=True):
    """The newest health of a gateway as a plain document (`wire.health.Health`), and when it came."""

    document: dict[str, Any]
    received_ns: int


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What changed after a number, up to ``version``. ``tags``: {gateway: {tag: value}}; ``health``: {gateway: health}.

    ``alarms`` is true when the journal grew: read active alarms from the database anew.
    """

    version: int
    tags: dict[str, dict[str, LiveValue]] = {}
    health: dict[str, LiveHealth] = {}
    alarms: bool = False

    def __bool__(self) -> bool:
        return bool(self.tags or self.health or self.alarms)


class _Gateway:
    """What is known of one gateway, each item with the number of its change."""

    __slots__ = ("health", "tags", "version")

    def __init__(self) -> None:
        self.version = 0
        self.tags: dict[str, tuple[int, LiveValue]] = {}
        self.health: tuple[int, LiveHealth] | None = None


class Live:
    """The newest values. Safe to use from many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._alarms = 0
        self._gateways: dict[str, _Gateway] = {}
        self._ignored = 0
        self._closed = False

    @property
    def ignored(self) -> int:
        """How many values were ignored because their gateway invents names."""
        return self._ignored

    @property
    def version(self) -> int:
        """The number of the last change."""
        with self._changed:
            return self._version

    def put_values(self, gateway: str, values: dict[str, LiveValue]) -> None:
        """Take newer values of some tags. Names beyond the most that a gateway may have are ignored and counted."""
        with self._changed:
            held = self._touch(gateway)
            for tag, value in values.items():
                if tag in held.tags or (len(held.tags) < TAGS_MOST and len(tag) <= NAME_MAX):
                    held.tags[tag] = (self._version, _shorten(value))
                else:
                    self._ignored += 1
            self._changed.notify_all()

    def put_health(self, gateway: str, health: LiveHealth) -> None:
        """Take a newer health."""
        with self._changed:
            held = self._touch(gateway)
            held.health = (self._version, health)
            self._changed.notify_all()

    def note_alarms(self) -> None:
        """Note that the alarm journal grew."""
        with self._changed:
            self._version += 1
            self._alarms = self._version
            self._changed.notify_all()

    def snapshot(self, gateway: str) -> dict[str, LiveValue]:
        """Return the newest value of each tag of a gateway; empty if it has not spoken since the start."""
        with self._changed:
            held = self._gateways.get(gateway)
            return {tag: value for tag, (_, value) in held.tags.items()} if held else {}

    def health(self, gateway: str) -> LiveHealth | None:
        """Return the newest health of a gateway, None if it sent none since the start."""
        with self._changed:
            held = self._gateways.get(gateway)
            return held.health[1] if held and held.health else None

    def wait(self, gateway: str | None, after: int, timeout_s: float) -> tuple[int, Changes]:
        """Wait for a change after number ``after``, of one gateway or of any (None), or of alarms.

        Returns (the number to pass next time, what changed); nothing changed when the time ran out or `close` came.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._closed:
                if self._newest(gateway) > after:
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            changes = self._collect(gateway, after)
            return changes.version, changes

    def close(self) -> None:
        """Release every waiter, for the program's end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called: event streams end themselves then."""
        return self._closed

    def _touch(self, gateway: str) -> _Gateway:
        self._version += 1
        held = self._gateways.setdefault(gateway, _Gateway())
        held.version = self._version
        return held

    def _newest(self, gateway: str | None) -> int:
        if gateway is None:
            return self._version
        held = self._gateways.get(gateway)
        return max(self._alarms, held.version if held else 0)

    def _collect(self, gateway: str | None, after: int) -> Changes:
        names = list(self._gateways) if gateway is None else [gateway]
        tags: dict[str, dict[str, LiveValue]] = {}
        health: dict[str, LiveHealth] = {}
        for name in names:
            held = self._gateways.get(name)
            if held is None or held.version <= after:
                continue
            newer = {tag: value for tag, (version, value) in held.tags.items() if version > after}
            if newer:
                tags[name] = newer
            if held.health and held.health[0] > after:
                health[name] = held.health[1]
        return Changes(version=self._version, tags=tags, health=health, alarms=self._alarms > after)


def _shorten(value: LiveValue) -> LiveValue:
    if isinstance(value.value, str) and len(value.value) > TEXT_MAX:
        return LiveValue(value.value[:TEXT_MAX], value.quality, value.at_ns)
    return value
