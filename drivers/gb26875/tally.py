"""How many components of a building are in a state: what one packet's state cannot say of all of them."""

from __future__ import annotations

from datetime import datetime

from drivers import bits
from drivers.gb26875.objects import IDENTITY, Object
from wire.sample import Quality, Value

OBJECTS_MOST = 20_000
"""Objects of which the last state is held; beyond them the number is a lower bound, and uncertain."""

COUNT = "_count"
"""What is added to the name of a state: fire_count."""

SYSTEM = ("system_type", "system")


class Tally:
    """Counts objects in a state, each as it was last told.

    A reset at the panel (an operation) forgets what its system told before: the panel tells anew what is still so.
    """

    def __init__(self, bit: int) -> None:
        self._bit = bit
        self._told: dict[tuple[int | None, ...], tuple[datetime | None, bool]] = {}
        self._is_full = False

    def take(self, one: Object) -> tuple[Value, int]:
        """Take the state of one object, return how many there are and how good that is."""
        who = tuple(one.fields.get(name) for name in IDENTITY)
        since, _ = self._told.get(who, (None, False))
        if who in self._told or len(self._told) < OBJECTS_MOST:
            if since is None or one.since is None or one.since >= since:
                self._told[who] = one.since, bool(one.fields["state"] >> self._bit & 1)
        else:
            self._is_full = True
        return self.now()

    def reset(self, operation: Object) -> None:
        """Forget what a system's objects told until its reset."""
        system = tuple(operation.fields[name] for name in SYSTEM)
        until = operation.since
        for who, (since, _) in list(self._told.items()):
            if who[:2] == system and (since is None or until is None or since <= until):
                del self._told[who]

    def now(self) -> tuple[Value, int]:
        """How many there are."""
        count = sum(is_so for _, is_so in self._told.values())
        return count, int(Quality.UNCERTAIN) if self._is_full else bits.GOOD
