"""Many gateways come back at once with a backlog: the edge's and the fleet's own state machines, without a network.

The fleet commits slowly and has little room, so that much is dropped. What counts is that everything arrives all the
same, and that drops earn no storm of refusals, at each of which a gateway sends all again at once.
"""

from __future__ import annotations

from itertools import zip_longest

import pytest

from edge.conversation import Conversation, Plan
from edge.spool import Mark
from fleet import backlog
from fleet.backlog import Backlog, Incoming
from fleet.conversation import Refuse, Take, decide
from wire.codec import decode, encode
from wire.conversation import Ack, Batch, Clock, Refused, Welcome
from wire.record import Lane
from wire.topics import Up, format_topic

GATEWAYS = 150
RECORDS = 60
BATCH_RECORDS = 3
STEP_S = 0.25
MESSAGES_WITH_ROOM = 120
STEPS_MOST = 2000
BOOT, EPOCH = "b", "e"


class Gateway:
    """A gateway with measurements that wait."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.talk = Conversation()
        self.talk.connect(0.0)
        self.talk.update([Mark(epoch=EPOCH, lane=Lane.MEASUREMENTS, first=1, head=RECORDS, committed=0)])

    def send(self, now: float) -> list[tuple[Up, bytes]]:
        sent: list[tuple[Up, bytes]] = []
        if self.talk.is_hello_due(now):
            self.talk.offer()
            sent.append((Up.HELLO, b"hello"))
        self.talk.expire(now)
        while (plan := self.talk.next_batch()) is not None:
            sent.append((Up.BATCH, self._batch(plan, now)))
        return sent

    def _batch(self, plan: Plan, now: float) -> bytes:
        last = min(plan.after + BATCH_RECORDS, RECORDS)
        batch = Batch(
            session=self.talk.session or "",
            round=self.talk.round,
            epoch=EPOCH,
            lane=plan.lane,
            first=plan.after + 1,
            items=(bytes(300),) * (last - plan.after),
            boot=BOOT,
            clock=Clock(),
        )
        self.talk.puback(self.talk.sent(plan, last, 900, now))
        return encode(batch)


class Fleet:
    """Decides as ingest does, without a database."""

    def __init__(self, gateways: dict[str, Gateway]) -> None:
        self.backlog = Backlog(most_octets=MESSAGES_WITH_ROOM * 150)
        self.cursors = dict.fromkeys(gateways, 0)
        self.sessions = dict.fromkeys(gateways, "")
        self.dropped = self.refused = self.taken = 0
        self._gateways = gateways

    def put(self, name: str, kind: Up, payload: bytes, now: float) -> None:
        if not self.backlog.put(name, kind, Incoming(format_topic(name, kind), payload, 0), now):
            self.dropped += 1

    def commit(self, now: float) -> None:
        for waiting in self.backlog.take():
            name, talk = waiting.key[0], self._gateways[waiting.key[0]].talk
            if not waiting.is_batch:
                self.sessions[name] = f"{name}-{now}"
                cursors = {EPOCH: {Lane.MEASUREMENTS: self.cursors[name]}}
                talk.welcome(Welcome(session=self.sessions[name], window=131_072, time=0, cursors=cursors))
                continue
            batch = decode(waiting.incoming.payload, Batch)
            decision = decide(self.sessions[name], self.cursors[name], batch)
            place = {"session": batch.session, "epoch": EPOCH, "lane": batch.lane}
            if isinstance(decision, Take):
                self.taken += 1
                self.cursors[name] = decision.committed
                talk.ack(Ack(committed=decision.committed, **place), now)
            elif isinstance(decision, Refuse):
                self.refused += 1
                talk.refused(Refused(round=batch.round, expected=decision.expected, **place))


def come_back() -> Fleet:
    gateways = {name: Gateway(name) for name in (f"gw-back-{n:04d}" for n in range(GATEWAYS))}
    fleet = Fleet(gateways)
    for step in range(STEPS_MOST):
        now = step * STEP_S
        sent = [[(gateway.name, *message) for message in gateway.send(now)] for gateway in gateways.values()]
        for turn in zip_longest(*sent):  # the broker hands over what all of them send at the same time
            for name, kind, payload in filter(None, turn):
                fleet.put(name, kind, payload, now)
        fleet.commit(now)
        if all(cursor == RECORDS for cursor in fleet.cursors.values()):
            return fleet
    raise AssertionError(f"{sum(fleet.cursors.values())} of {GATEWAYS * RECORDS} records arrived")


@pytest.fixture(autouse=True)
def small_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "TURN_MESSAGES", 40)


def test_a_fleet_that_drops_gets_everything_and_refuses_little() -> None:
    fleet = come_back()
    assert fleet.dropped > GATEWAYS
    assert fleet.refused < fleet.taken / 100


def test_without_the_pause_after_a_drop_refusals_would_be_many(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = come_back()
    monkeypatch.setattr(backlog, "DEAF_S", 0.0)
    hasty = come_back()
    assert hasty.refused > 100 + 2 * patient.refused
