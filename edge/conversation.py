"""The gateway's side of the conversation, as a pure state machine: what to send next, and what an answer means.

It knows nothing of sockets. Time is handed in as seconds of any monotonic clock.

Rules it keeps: lane A before M before W, oldest epoch first within a lane; octets in flight at most two seconds of
the measured rate; a batch that stays unanswered is sent again, never while its PUBACK is outstanding; a refusal
rewinds once per round.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from edge.spool import Mark
from wire.conversation import Ack, Greet, Refused, Welcome
from wire.record import LANES, Lane

WINDOW_LEAST = 512
WINDOW_MOST = 128 * 1024
WINDOW_FIRST = 4096
WINDOW_S = 2.0
"""Seconds of the measured rate that may be in flight."""
BATCHES_IN_WINDOW = 4
"""Measurements wait until this part of the window is free: to fill each gap with a small batch costs more than it
sends."""
RATE_WEIGHT = 0.3
RESEND_LEAST_S = 5.0
RESEND_MOST_S = 60.0
HELLO_FIRST_S = 1.0
HELLO_MOST_S = 30.0


class Plan(msgspec.Struct, frozen=True):
    """The next batch to send: the records after ``after``, about ``max_bytes`` of them."""

    epoch: str
    lane: Lane
    after: int
    max_bytes: int


class Sent(msgspec.Struct):
    """A batch on its way. ``at`` is when it went out; ``has_puback`` once the broker has it."""

    epoch: str
    lane: Lane
    last: int
    size: int
    at: float
    round: int
    has_puback: bool = False


class _Cursor(msgspec.Struct):
    head: int
    committed: int
    sent: int


class Conversation:
    """One gateway's conversation with the fleet; it outlives connections."""

    def __init__(self) -> None:
        self.session: str | None = None
        self.round = 0
        self.rewinds = 0
        self._cursors: dict[Lane, dict[str, _Cursor]] = {lane: {} for lane in LANES}
        self._in_flight: list[Sent] = []
        self._fleet_window = WINDOW_MOST
        self._rate = WINDOW_FIRST / WINDOW_S
        self._ack_s = RESEND_LEAST_S / 4
        self._resend_s = RESEND_LEAST_S
        self._hello_at = 0.0
        self._hello_s = HELLO_FIRST_S

    def update(self, marks: Iterable[Mark]) -> None:
        """Take over what the spool holds. New records and new epochs show up here."""
        seen: dict[Lane, set[str]] = {lane: set() for lane in LANES}
        for mark in marks:
            seen[mark.lane].add(mark.epoch)
            cursor = self._cursors[mark.lane].get(mark.epoch)
            if cursor is None:
                self._cursors[mark.lane][mark.epoch] = _Cursor(mark.head, mark.committed, mark.committed)
            else:
                cursor.head = mark.head
        for lane, epochs in seen.items():
            self._cursors[lane] = {epoch: self._cursors[lane][epoch] for epoch in sorted(epochs)}

    def connect(self, now: float) -> None:
        """A new connection: nothing is in flight any more and no session is open."""
        self.session = None
        self._in_flight.clear()
        self._hello_at = now
        self._hello_s = HELLO_FIRST_S

    def greet(self, message: Greet, now: float) -> None:
        """The fleet asks for a hello, unless it means a session that a later welcome has ended.

        On a slow link several hellos are on their way at once. Each opens a session that ends the one before, and what
        was sent meanwhile is greeted: to take that for news would go on for ever.
        """
        if self.session is not None and message.session in ("", self.session):
            self.connect(now)

    def is_hello_due(self, now: float) -> bool:
        """Tell whether to say hello, and set the next time with backoff."""
        if self.session is not None or now < self._hello_at:
            return False
        self._hello_at = now + self._hello_s
        self._hello_s = min(self._hello_s * 2, HELLO_MOST_S)
        return True

    def welcome(self, message: Welcome) -> list[tuple[str, Lane, int]]:
        """A session opens: the cursors become what the fleet says. Returns them for the spool."""
        self.session = message.session
        self.round += 1
        self._fleet_window = max(WINDOW_LEAST, min(message.window, WINDOW_MOST))
        self._in_flight.clear()
        self._resend_s = RESEND_LEAST_S
        moved: list[tuple[str, Lane, int]] = []
        for lane, epochs in self._cursors.items():
            for epoch, cursor in epochs.items():
                committed = message.cursors.get(epoch, {}).get(lane, 0)
                cursor.committed = cursor.sent = max(0, min(committed, cursor.head))
                moved.append((epoch, lane, cursor.committed))
        return moved

    def next_batch(self) -> Plan | None:
        """Choose what to send now, or None: nothing is pending, or enough is in flight."""
        if self.session is None:
            return None
        for lane in LANES:
            for epoch, cursor in self._cursors[lane].items():
                if cursor.sent < cursor.head:
                    room = self.window - self._octets_in_flight(lane)
                    least = 1 if lane is Lane.ALARMS else self.window // BATCHES_IN_WINDOW
                    return Plan(epoch, lane, cursor.sent, max(room, WINDOW_LEAST)) if room >= least else None
        return None

    def sent(self, plan: Plan, last: int, size: int, now: float) -> Sent:
        """Note that a batch goes out. Hand the result to `puback` when the broker has it."""
        batch = Sent(plan.epoch, plan.lane, last, size, now, self.round)
        cursor = self._cursors[plan.lane][plan.epoch]
        cursor.sent = max(cursor.sent, last)  # an ack may have come while the batch was read
        self._in_flight.append(batch)
        return batch

    def puback(self, batch: Sent) -> None:
        """The broker has a batch. This says nothing about the fleet."""
        batch.has_puback = True

    def ack(self, message: Ack, now: float) -> tuple[str, Lane, int] | None:
        """The fleet has committed. Returns the cursor that moved, for the spool, or None if that was known."""
        cursor = self._cursors[message.lane].get(message.epoch)
        if message.session != self.session or cursor is None:
            return None
        self._measure(message, now)  # also of a batch that was trimmed whole: it is answered, and no longer in flight
        if message.committed <= cursor.committed:
            return None
        cursor.committed = min(message.committed, cursor.head)
        cursor.sent = max(cursor.sent, cursor.committed)
        self._resend_s = max(RESEND_LEAST_S, 4 * self._ack_s)
        return message.epoch, message.lane, cursor.committed

    def _measure(self, message: Ack, now: float) -> None:
        done = [b for b in self._in_flight if _covers(message, b)]
        self._in_flight = [b for b in self._in_flight if not _covers(message, b)]
        if not done:
            return
        took = max(now - done[0].at, 0.001)
        self._ack_s += RATE_WEIGHT * (took - self._ack_s)
        rate = sum(b.size for b in done) / took
        self._rate += RATE_WEIGHT * (rate - self._rate) if rate < self._rate else rate - self._rate

    def refused(self, message: Refused) -> None:
        """The fleet saw a gap: go back to what it expects, once per round."""
        cursor = self._cursors[message.lane].get(message.epoch)
        if message.session != self.session or message.round != self.round or cursor is None:
            return
        self._rewind({(lane, epoch) for lane, epochs in self._cursors.items() for epoch in epochs})
        cursor.sent = max(0, min(message.expected - 1, cursor.head))

    def expire(self, now: float) -> bool:
        """Send again what stayed unanswered too long. Returns whether anything was rewound.

        Only the lanes and epochs that wait go back, and only once the broker has all that was sent of them.
        """
        late = {_place(batch) for batch in self._in_flight if now - batch.at >= self._resend_s}
        late -= {_place(batch) for batch in self._in_flight if not batch.has_puback}
        if not late:
            return False
        self._rewind(late)
        self._resend_s = min(self._resend_s * 2, RESEND_MOST_S)
        return True

    def _rewind(self, places: Collection[tuple[Lane, str]]) -> None:
        self.round += 1
        self.rewinds += 1
        self._in_flight = [batch for batch in self._in_flight if _place(batch) not in places]
        for lane, epochs in self._cursors.items():
            for epoch, cursor in epochs.items():
                if (lane, epoch) in places:
                    cursor.sent = cursor.committed

    @property
    def window(self) -> int:
        """Octets that may be in flight: two seconds of the measured rate, within bounds."""
        return min(self._fleet_window, max(WINDOW_LEAST, int(self._rate * WINDOW_S)))

    @property
    def octets_in_flight(self) -> int:
        """Octets sent and not yet committed."""
        return sum(batch.size for batch in self._in_flight)

    def _octets_in_flight(self, lane: Lane) -> int:
        """An alarm does not wait for the answers to measurements: only its own lane counts against it."""
        if lane is Lane.ALARMS:
            return sum(batch.size for batch in self._in_flight if batch.lane is lane)
        return self.octets_in_flight

    @property
    def pending(self) -> int:
        """Records assigned and not yet committed."""
        return sum(c.head - c.committed for epochs in self._cursors.values() for c in epochs.values())


def _place(batch: Sent) -> tuple[Lane, str]:
    return batch.lane, batch.epoch


def _covers(message: Ack, batch: Sent) -> bool:
    return batch.epoch == message.epoch and batch.lane is message.lane and batch.last <= message.committed
