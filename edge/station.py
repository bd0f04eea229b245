"""The running gateway as those on site see it: what `edge.local` shows and asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from edge.acquisition import Acquisition
from edge.clock import SystemClock
from edge.health import State
from edge.live import Newest
from edge.local.site import Arrival, Limit, Nameplate, Reading
from edge.operating import AlarmView, Operation, OperationError
from edge.settings import Configuration
from wire.health import Health
from wire.twin import DeviceInfo, TagInfo

NS = 1_000_000_000
KEEP_S = 3.0
"""How long an operator waits for a disk."""


class Station(msgspec.Struct, kw_only=True):
    """A `edge.local.site.Site` over the parts of the agent. ``running`` is what acquires now, None at the start;
    ``commit`` as in `edge.store.Store`."""

    who: Nameplate
    newest: Newest
    clock: SystemClock
    running: Callable[[], Acquisition | None]
    health: Callable[[], Health]
    state: Callable[[], State]
    commit: Callable[[], Awaitable[bool]]
    find_arrival: Callable[[], Arrival | None] = lambda: None
    _known: Configuration | None = None
    _tags: dict[str, TagInfo] = {}
    _limits: dict[str, list[Limit]] = {}

    def identity(self) -> Nameplate:
        """Say who this is."""
        return self.who

    def arrival(self) -> Arrival | None:
        """Return what a technician has to scan."""
        return self.find_arrival()

    def alarms(self) -> tuple[AlarmView, ...]:
        """List the alarms; none before anything runs."""
        running = self.running()
        return running.alarms() if running else ()

    def operate(self, operation: Operation) -> str:
        """Hand over what an operator asks. Raises OperationError."""
        running = self.running()
        if running is None:
            raise OperationError("the gateway is starting", hint="try again in a moment")
        return running.operate(operation)

    async def keep(self) -> bool:
        """Wait until what was done is durable, for no longer than `KEEP_S`."""
        try:
            return await asyncio.wait_for(self.commit(), KEEP_S)
        except TimeoutError:
            return False

    def tags(self) -> Mapping[str, TagInfo]:
        """Return the tags by full name: made once for each configuration, and only if somebody looks."""
        self._know()
        return self._tags

    def limits(self) -> Mapping[str, Sequence[Limit]]:
        """Return the limits by the full name of their tag."""
        self._know()
        return self._limits

    def _know(self) -> None:
        running = self.running()
        if running is None or running.configuration is self._known:
            return
        self._known = known = running.configuration
        self._tags = {info.name: info for info in known.tags}
        self._limits = {
            tag: [Limit(rule.limit, rule.is_upper, rule.priority) for rule in rules if rule.limit is not None]
            for tag, rules in known.limiting().items()
        }

    def devices(self) -> tuple[DeviceInfo, ...]:
        """List the instruments."""
        running = self.running()
        if running is None:
            return ()
        return tuple(
            DeviceInfo(name=one.name, title=one.title, bus=one.bus, profile=one.profile)
            for one in running.configuration.devices
        )

    def readings(self, tags: Iterable[TagInfo]) -> dict[str, Reading]:
        """Return the newest of these tags."""
        wanted: dict[str, set[str]] = {}
        for info in tags:
            wanted.setdefault(f"{info.device}.{info.group}", set()).add(info.name)
        now = self.clock.mono_ns()
        found: dict[str, Reading] = {}
        for group, names in wanted.items():
            newest = self.newest.of(group)
            if newest is None:
                continue
            columns, scan = newest
            age_s = (now - scan.mono_ns) / NS
            for name, value, quality in zip(columns, scan.values, scan.quality, strict=True):
                if name in names:
                    found[name] = Reading(value, quality, age_s)
        return found

    def now_ns(self) -> int | None:
        """Return UTC in ns, None while it is unknown."""
        return self.clock.wall_at(self.clock.mono_ns())
