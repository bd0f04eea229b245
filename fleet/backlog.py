"""What waits for a worker, and in which order it is taken: a pure data structure.

    hellos, and batches of lane A      first, whoever sent them
    all else                           after them

Within each of the two, and so within one gateway and lane, messages keep their order. A hello makes the measurements
that its gateway sent before it void: they belong to a session that is over, and the welcome says what to send. Of what
a gateway says of itself only the newest counts; it takes the place of the one before, so that its turn comes.

When too much waits, batches are dropped, and the gateway hears nothing of it: it sends again after its time-out. To
take the batch after a dropped one would only earn a refusal, at which a gateway sends all again at once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

import msgspec

from wire.codec import peek_lane
from wire.record import Lane
from wire.topics import Up

QUEUED_OCTETS = 32 * 1024 * 1024
"""Most octets of batches that wait, of lane A and of the others each."""
DEAF_S = 5.0
"""How long nothing more is taken of a lane after a drop: as long as a gateway waits before it sends again."""
TURN_MESSAGES = 256
TURN_OCTETS = 64 * 1024
"""Most that is taken at once: what a batch of lane A may have to wait for."""


class Incoming(msgspec.Struct, frozen=True):
    """A message as the broker delivered it."""

    topic: str
    payload: bytes
    received_ns: int


class Waiting(msgspec.Struct, frozen=True):
    """A message in the backlog. ``key`` is its place there."""

    key: tuple[str, Up, int]
    is_urgent: bool
    incoming: Incoming

    @property
    def is_batch(self) -> bool:
        """Whether it carries records."""
        return self.key[1] is Up.BATCH


class Backlog:
    """Messages of some gateways that wait for one worker."""

    def __init__(self, most_octets: int = QUEUED_OCTETS) -> None:
        self._most_octets = most_octets
        self._lines: dict[bool, OrderedDict[tuple[str, Up, int], Waiting]] = {True: OrderedDict(), False: OrderedDict()}
        self._octets = {True: 0, False: 0}
        self._batches: Counter[str] = Counter()
        self._deaf_until_s: dict[tuple[str, bool], float] = {}
        self._number = 0
        self._urgent_had_a_turn = False

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def put(self, gateway: str, kind: Up, incoming: Incoming, now_s: float) -> bool:
        """Take a message; False if it was dropped. ``now_s`` is of any monotonic clock."""
        is_urgent = kind is Up.HELLO or (kind is Up.BATCH and peek_lane(incoming.payload) is Lane.ALARMS)
        if kind is not Up.BATCH:
            if kind is Up.HELLO:  # a new one waits behind the alarms of the session that it ends
                self._end_session(gateway)
                self._lines[is_urgent].pop((gateway, kind, 0), None)
            self._append(Waiting((gateway, kind, 0), is_urgent, incoming))
            return True
        if now_s < self._deaf_until_s.get((gateway, is_urgent), now_s):
            return False
        if self._octets[is_urgent] + len(incoming.payload) > self._most_octets:
            still = {key: until for key, until in self._deaf_until_s.items() if until > now_s}
            self._deaf_until_s = {**still, (gateway, is_urgent): now_s + DEAF_S}
            return False
        self._number += 1
        self._append(Waiting((gateway, kind, self._number), is_urgent, incoming))
        return True

    def take(self) -> list[Waiting]:
        """Take out what comes next, [] if nothing waits.

        What is urgent goes alone, so that nothing delays its commit, and with others in the turn after that, so that
        they too come on.
        """
        alone = bool(self._lines[True]) and not self._urgent_had_a_turn
        self._urgent_had_a_turn = alone
        taken: list[Waiting] = []
        octets = 0
        for is_urgent in (True,) if alone else (True, False):
            line = self._lines[is_urgent]
            while line and len(taken) < TURN_MESSAGES:
                size = len(next(iter(line.values())).incoming.payload)
                if taken and octets + size > TURN_OCTETS:
                    break
                octets += size
                taken.append(self._remove(is_urgent, next(iter(line))))
        return taken

    def give_back(self, rest: Sequence[Waiting]) -> None:
        """Put back in front what was taken and not used. What something newer has replaced stays out."""
        for waiting in reversed(rest):
            line = self._lines[waiting.is_urgent]
            if waiting.key not in line:
                self._append(waiting)
                line.move_to_end(waiting.key, last=False)

    def _append(self, waiting: Waiting) -> None:
        self._lines[waiting.is_urgent][waiting.key] = waiting
        if waiting.is_batch:
            self._octets[waiting.is_urgent] += len(waiting.incoming.payload)
            self._batches[waiting.key[0]] += not waiting.is_urgent

    def _remove(self, is_urgent: bool, key: tuple[str, Up, int]) -> Waiting:
        waiting = self._lines[is_urgent].pop(key)
        if waiting.is_batch:
            self._octets[is_urgent] -= len(waiting.incoming.payload)
            self._batches[key[0]] -= not is_urgent
            if not self._batches[key[0]]:
                del self._batches[key[0]]
        return waiting

    def _end_session(self, gateway: str) -> None:
        for is_urgent in (True, False):
            self._deaf_until_s.pop((gateway, is_urgent), None)
        if gateway in self._batches:
            void = [key for key in self._lines[False] if key[0] == gateway and key[1] is Up.BATCH]
            for key in void:
                self._remove(False, key)
