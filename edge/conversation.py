"""The gateway's side of the conversation, as a pure state machine: what to send next, and what an answer means.

It knows nothing of sockets. Time is handed in as seconds of any monotonic clock.

Rules it keeps: lane A before M before W, oldest epoch first within a lane; octets in flight at most two seconds of
the measured rate; a batch that stays unanswered is sent again, never while its PUBACK is outstanding; a refusal
rewinds once per round; of very many epochs a hello names some, and the next hello others once these are delivered, or
their alarms if others have alarms too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import msgspec

from edge.spool import Mark
from wire.conversation import Ack, Greet, Refused, Welcome
from wire.record import LANES, Lane

WINDOW_LEAST = 512
WINDOW_MOST = 128 * 1024
WINDOW_FIRST = 1024
"""Nothing is known of the link of a new connection: it may be a thin one now."""
WINDOW_S = 2.0
"""Seconds of the measured rate that may be in flight."""
BATCHES_IN_WINDOW = 4
"""Measurements wait until this part of the window is free: to fill each gap with a small batch costs more than it
sends."""
GROWTH = 2
"""The window grows to at most so many times what was just carried: a thin link, too, takes a few packets at once."""
RATE_WEIGHT = 0.3
RESEND_LEAST_S = 5.0
RESEND_MOST_S = 60.0
HELLO_FIRST_S = 1.0
HELLO_MOST_S = 30.0
HELLO_EPOCHS_MOST = 64
"""An agent that starts often without a link makes an epoch each time: a hello of all would hold up the first alarm."""


class Plan(msgspec.Struct, frozen=True):
    """The next batch to send: the records after ``after``, about ``max_bytes`` of them."""

    epoch: str
    lane: Lane
    after: int
    max_bytes: int


class Sent(msgspec.Struct):
    """A batch on its way. ``at`` is when it went out; ``has_puback`` once the broker has it.

    ``delivered`` octets had been answered when it went out, the last of them at ``delivered_at``: what is answered
    from then on tells the rate. ``is_limited`` says that it filled the window and more was waiting, so that the link,
    not we, set the pace.
    """

    epoch: str
    lane: Lane
    last: int
    size: int
    at: float
    round: int
    delivered: int = 0
    delivered_at: float = 0.0
    is_limited: bool = False
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
        self._agreed: set[str] = set()
        self.continues = ""
        """The session in which the epochs agreed on so far were told, while another hello names the rest."""
        self._offered: set[str] = set()
        self._rate = WINDOW_FIRST / WINDOW_S
        self._is_measured = False
        self._delivered = 0
        self._delivered_at = 0.0
        self._hello = ""
        self._ack_s = RESEND_LEAST_S / 4
        self._resend_s = RESEND_LEAST_S
        self._hello_at = 0.0
        self._hello_s = HELLO_FIRST_S

    def update(self, marks: Iterable[Mark]) -> None:
        """Take over what the spool holds. New records and new epochs show up here.

        An epoch that begins in a session needs no hello: the fleet can know nothing of it.
        """
        seen: dict[Lane, set[str]] = {lane: set() for lane in LANES}
        for mark in marks:
            seen[mark.lane].add(mark.epoch)
            cursor = self._cursors[mark.lane].get(mark.epoch)
            if cursor is None:
                self._cursors[mark.lane][mark.epoch] = _Cursor(mark.head, mark.committed, mark.committed)
                if self.session is not None:
                    self._agreed.add(mark.epoch)
            else:
                cursor.head = mark.head
        for lane, epochs in seen.items():
            self._cursors[lane] = {epoch: self._cursors[lane][epoch] for epoch in sorted(epochs)}

    def connect(self, now: float) -> None:
        """A new connection: nothing is in flight any more, no session is open, and the link may be another."""
        self._close_session(now)
        self._rate = min(self._rate, WINDOW_FIRST / WINDOW_S)
        self._is_measured = False

    def greet(self, message: Greet, now: float) -> None:
        """The fleet asks for a hello, unless it means a session that a later welcome has ended.

        On a slow link several hellos are on their way at once. Each opens a session that ends the one before, and what
        was sent meanwhile is greeted: to take that for news would go on for ever.
        """
        if self.session is not None and message.session in ("", self.session):
            self._close_session(now)

    def _close_session(self, now: float) -> None:
        self.session = None
        self.continues = ""
        self._agreed.clear()
        self._in_flight.clear()
        self._hello = ""
        self._hello_at = now
        self._hello_s = HELLO_FIRST_S

    def is_hello_due(self, now: float) -> bool:
        """Tell whether to say hello, and set the next time with backoff."""
        if self.session is not None and not self.has_told and self._may_tell_more():
            self.continues, self.session = self.session, None  # the next hello ends it: what is sent meanwhile is void
            self._hello_at, self._hello_s = now, HELLO_FIRST_S
        if self.session is not None or now < self._hello_at:
            return False
        self._hello_at = now + self._hello_s
        self._hello_s = min(self._hello_s * 2, HELLO_MOST_S)
        return True

    @property
    def has_told(self) -> bool:
        """Whether the fleet was told of every epoch held, so that its cursors are known."""
        return all(epoch in self._agreed for _, epoch, _ in self._each())

    def _may_tell_more(self) -> bool:
        """Whether another hello holds up nothing more urgent than what it names: there may be alarms among that."""
        lanes = (Lane.ALARMS,) if self._find_pending((Lane.ALARMS,)) - self._agreed else LANES
        return not self._find_pending(lanes) & self._agreed

    def _find_pending(self, lanes: Collection[Lane]) -> set[str]:
        return {epoch for lane, epoch, cursor in self._each() if lane in lanes and cursor.committed < cursor.head}

    def offer(self) -> set[str]:
        """Choose the epochs that the hello names: the newest, those with alarms to tell, with anything to tell, and
        then others, newest first."""
        left = sorted({epoch for _, epoch, _ in self._each()} - self._agreed)
        alarms, pending = self._find_pending((Lane.ALARMS,)), self._find_pending(LANES)
        rest = [
            *(epoch for epoch in left if epoch in alarms),
            *(epoch for epoch in left if epoch in pending - alarms),
            *(epoch for epoch in reversed(left) if epoch not in pending),
        ]
        self._offered = set((left[-1:] + rest)[:HELLO_EPOCHS_MOST])
        return self._offered

    def hello_sent(self, id: str) -> None:  # noqa: A002 - the message's word
        """Note which hello went out last: only its answer counts."""
        self._hello = id

    def welcome(self, message: Welcome) -> list[tuple[str, Lane, int]]:
        """A session opens: the cursors of the epochs offered become what the fleet says. Returns them for the spool.

        A late welcome to an earlier hello changes nothing: the session that it opened is over. If the fleet no longer
        knows the session that the hello continues, it may have been restored: what it said before is void.
        """
        if self._hello and message.hello not in ("", self._hello):
            return []
        self.session = message.session
        self.round += 1
        self._fleet_window = max(WINDOW_LEAST, min(message.window, WINDOW_MOST))
        self._in_flight.clear()
        self._resend_s = RESEND_LEAST_S
        if self.continues and message.hello and not message.continues:
            self._agreed.clear()
        self.continues = ""
        self._agreed |= self._offered
        moved: list[tuple[str, Lane, int]] = []
        for lane, epoch, cursor in self._each():
            if epoch not in self._offered:
                cursor.sent = cursor.committed
            else:
                committed = message.cursors.get(epoch, {}).get(lane, 0)
                cursor.committed = cursor.sent = max(0, min(committed, cursor.head))
                moved.append((epoch, lane, cursor.committed))
        return moved

    def next_batch(self, allowance: int = WINDOW_MOST) -> Plan | None:
        """Choose what to send now, or None: nothing is pending, or enough is in flight.

        ``allowance``: octets that a metered link has for other lanes than A; that one always goes.
        """
        if self.session is None:
            return None
        for lane in LANES:
            for epoch, cursor in self._cursors[lane].items():
                if cursor.sent < cursor.head and epoch in self._agreed:
                    return self._plan(lane, epoch, cursor.sent, allowance)
        return None

    def _plan(self, lane: Lane, epoch: str, after: int, allowance: int) -> Plan | None:
        room = self.window - self._octets_in_flight(lane)
        if lane is Lane.ALARMS:
            return Plan(epoch, lane, after, max(room, WINDOW_LEAST)) if room >= 1 else None
        if room < self._least_room or allowance <= 0:
            return None
        return Plan(epoch, lane, after, min(max(room, WINDOW_LEAST), allowance))

    def sent(self, plan: Plan, last: int, size: int, now: float) -> Sent:
        """Note that a batch goes out. Hand the result to `puback` when the broker has it."""
        cursor = self._cursors[plan.lane][plan.epoch]
        cursor.sent = max(cursor.sent, last)  # an ack may have come while the batch was read
        if not self._in_flight:
            self._delivered_at = now
        batch = Sent(
            plan.epoch,
            plan.lane,
            last,
            size,
            now,
            self.round,
            delivered=self._delivered,
            delivered_at=self._delivered_at,
            is_limited=cursor.sent < cursor.head and self.octets_in_flight + size > self.window - self._least_room,
        )
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
        took = now - done[0].at
        self._ack_s += RATE_WEIGHT * (max(took, 0.001) - self._ack_s)
        self._delivered += sum(b.size for b in done)
        self._delivered_at = now
        newest = done[-1]
        carried = self._delivered - newest.delivered
        rate = carried / max(now - newest.delivered_at, 0.001)
        if rate >= self._rate:
            self._rate = max(self._rate, min(rate, GROWTH * carried / WINDOW_S))
        elif newest.is_limited or took > WINDOW_S:  # a small batch tells how long an answer takes, not the link's rate
            self._rate += RATE_WEIGHT * (rate - self._rate)
        self._is_measured |= newest.is_limited

    def refused(self, message: Refused) -> None:
        """The fleet saw a gap: go back to what it expects, once per round."""
        cursor = self._cursors[message.lane].get(message.epoch)
        if message.session != self.session or message.round != self.round or cursor is None:
            return
        self._rewind({(lane, epoch) for lane, epoch, _ in self._each()})
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
        for lane, epoch, cursor in self._each():
            if (lane, epoch) in places:
                cursor.sent = cursor.committed

    def _each(self) -> Iterator[tuple[Lane, str, _Cursor]]:
        for lane, epochs in self._cursors.items():
            for epoch, cursor in epochs.items():
                yield lane, epoch, cursor

    @property
    def rate(self) -> float:
        """Octets per second that the link is known to carry."""
        return self._rate

    @property
    def measured_rate(self) -> float | None:
        """The rate, None while this connection has not been filled: then it may carry more than was ever asked."""
        return self._rate if self._is_measured else None

    @property
    def window(self) -> int:
        """Octets that may be in flight: two seconds of the measured rate, within bounds."""
        return min(self._fleet_window, max(WINDOW_LEAST, int(self._rate * WINDOW_S)))

    @property
    def _least_room(self) -> int:
        return self.window // BATCHES_IN_WINDOW

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
    def unconfirmed(self) -> int:
        """Batches of measurements that the broker has not confirmed yet."""
        return sum(not batch.has_puback for batch in self._in_flight if batch.lane is not Lane.ALARMS)

    @property
    def pending(self) -> int:
        """Records assigned and not yet committed."""
        return sum(cursor.head - cursor.committed for _, _, cursor in self._each())


def _place(batch: Sent) -> tuple[Lane, str]:
    return batch.lane, batch.epoch


def _covers(message: Ack, batch: Sent) -> bool:
    return batch.epoch == message.epoch and batch.lane is message.lane and batch.last <= message.committed
