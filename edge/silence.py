"""Who does not answer, and when to ask again: a silent or garbling device costs its line one time-out. Pure.

After a failure the device is left alone for as long as the failure took, then for twice that, and so on, until the
pauses are `SHARED_MOST` times its cost: a dead unit then takes less than 2 % of its line. One that never answered is
dead until it shows otherwise, and begins with a longer pause. Any answer restores the device at once, all its groups.

A device may answer for one group and not for another: many stay silent when asked for a register they do not have. So
after a failure another group is asked first; if that is answered, the failing group alone is asked rarely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from drivers.base import Group
from wire.sample import Quality

SHARED_MOST = 60
"""Longest pause, in time-outs, of a device that shares its line."""
ALONE_MOST = 1
"""The same if there is nobody it could hold up."""
STRANGER_FIRST = 16
"""First pause, in time-outs, of a device that never answered and shares its line."""


class Fault(msgspec.Struct):
    """Failures in a row: what one costs, and until when it is not risked again."""

    group: str
    quality: Quality
    count: int = 0
    cost_ns: int = 0
    pause_ns: int = 0
    until_ns: int = 0

    def grow(self, took_ns: int, now_ns: int, first: int, most: int) -> None:
        """Count a failure that took so long. One that cost next to nothing, as a refusal does, changes no pause."""
        self.count += 1
        if 2 * took_ns <= self.cost_ns:
            return
        self.cost_ns = took_ns
        self.pause_ns = min(max(first * took_ns, 2 * self.pause_ns), most * took_ns)
        self.until_ns = now_ns + self.pause_ns


class Silence:
    """What a line knows of its devices' failures. Times are ns of one monotonic clock."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups_of = Counter(group.device_name for group in groups)
        self._most = SHARED_MOST if len(self._groups_of) > 1 else ALONE_MOST
        self._strangers = set(self._groups_of) if len(self._groups_of) > 1 else set()
        self._devices: dict[str, Fault] = {}
        self._own: dict[str, Fault] = {}
        self._device_of = {group.name: group.device_name for group in groups}

    @property
    def bad_devices(self) -> set[str]:
        """The devices of which something fails."""
        return {*self._devices, *(self._device_of[group] for group in self._own)}

    def holds(self, group: Group, now_ns: int) -> Quality | None:
        """Tell whether to leave this group alone now, by the quality of the scan that is then made up."""
        if not self._devices and not self._own:
            return None
        fault = self._own.get(group.name)
        if fault is not None and now_ns < fault.until_ns:
            return fault.quality
        fault = self._devices.get(group.device_name)
        if fault is None:
            return None
        until_ns = fault.until_ns
        if fault.group == group.name and self._groups_of[group.device_name] > 1:
            until_ns += fault.pause_ns  # another group has a turn before
        return fault.quality if now_ns < until_ns else None

    def fail(self, group: Group, quality: Quality, took_ns: int, now_ns: int, *, is_own: bool = False) -> int:
        """Note a failure; ``is_own`` if the device is known to be well but for this. Returns how many in a row."""
        if is_own or group.name in self._own:
            fault = self._own.setdefault(group.name, Fault(group.name, quality))
        else:
            fault = self._devices.setdefault(group.device_name, Fault(group.name, quality))
        fault.group, fault.quality = group.name, quality
        first = STRANGER_FIRST if group.device_name in self._strangers else 1
        fault.grow(took_ns, now_ns, first, SHARED_MOST if group.name in self._own else self._most)
        return fault.count

    def lift(self, group: Group) -> None:
        """The device took a command: it is there, and its next scans are asked for."""
        fault = self._devices.get(group.device_name)
        if fault is not None:
            fault.pause_ns = fault.until_ns = 0

    def answer(self, group: Group) -> int:
        """Note an answer. Returns how many failures in a row it ends, 0 if there was none."""
        self._strangers.discard(group.device_name)
        if not self._devices and not self._own:
            return 0
        fault = self._devices.pop(group.device_name, None)
        if fault is not None and fault.group != group.name:
            self._own[fault.group] = Fault(fault.group, fault.quality)
        own = self._own.pop(group.name, None)
        return max(fault.count if fault else 0, own.count if own else 0)
