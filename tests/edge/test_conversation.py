"""The gateway's side of the conversation: each rule by hand, then all against a bad link and a forgetful fleet."""

from __future__ import annotations

import random
from collections import deque
from copy import deepcopy
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.conversation import (
    HELLO_EPOCHS_MOST,
    HELLO_FIRST_S,
    HELLO_MOST_S,
    RESEND_LEAST_S,
    RESEND_MOST_S,
    WINDOW_FIRST,
    WINDOW_LEAST,
    WINDOW_MOST,
    Conversation,
    Plan,
    Sent,
)
from edge.spool import Mark
from wire.conversation import Ack, Greet, Refused, Welcome
from wire.record import LANES, Lane

A, M, W = Lane
OLD, NEW = "00000001-aa", "00000002-bb"


def mark(lane: Lane, head: int, epoch: str = OLD, committed: int = 0, first: int = 1) -> Mark:
    return Mark(epoch=epoch, lane=lane, first=first, head=head, committed=committed)


def welcome(session: str = "s1", window: int = WINDOW_MOST, **cursors: int) -> Welcome:
    """``cursors``: M=5 stands for lane M of the old epoch."""
    lanes = {Lane(lane): seq for lane, seq in cursors.items()}
    return Welcome(session=session, window=window, time=0, cursors={OLD: lanes} if lanes else {})


def ack(committed: int, lane: Lane = M, session: str = "s1", epoch: str = OLD) -> Ack:
    return Ack(session=session, epoch=epoch, lane=lane, committed=committed)


def refused(expected: int, round_: int, lane: Lane = M, session: str = "s1") -> Refused:
    return Refused(session=session, round=round_, epoch=OLD, lane=lane, expected=expected)


def hear(conversation: Conversation, message: Welcome) -> list[tuple[str, Lane, int]]:
    """The fleet's answer to a hello that offers what there is."""
    conversation.offer()
    return conversation.welcome(message)


def talk(*marks: Mark, window: int = WINDOW_MOST) -> Conversation:
    """A conversation with an open session."""
    conversation = Conversation()
    conversation.connect(0.0)
    conversation.update(marks)
    assert conversation.is_hello_due(0.0)
    hear(conversation, welcome(window=window))
    return conversation


def send(conversation: Conversation, count: int = 10, size: int = 100, now: float = 0.0, puback: bool = True) -> Sent:
    """Send the next batch of at most ``count`` records."""
    plan = conversation.next_batch()
    assert plan is not None
    head = conversation._cursors[plan.lane][plan.epoch].head
    sent = conversation.sent(plan, min(plan.after + count, head), size, now)
    if puback:
        conversation.puback(sent)
    return sent


def after(conversation: Conversation) -> tuple[Lane, str, int] | None:
    plan = conversation.next_batch()
    return plan and (plan.lane, plan.epoch, plan.after)


def test_hello_is_repeated_with_growing_pauses_until_welcome() -> None:
    conversation = Conversation()
    conversation.connect(100.0)
    times = [t / 10 for t in range(1000, 3000) if conversation.is_hello_due(t / 10)]
    pauses = [round(b - a, 1) for a, b in pairwise(times)]
    assert times[0] == 100.0
    assert pauses[:6] == [HELLO_FIRST_S, 2.0, 4.0, 8.0, 16.0, HELLO_MOST_S]
    assert set(pauses[5:]) == {HELLO_MOST_S}
    hear(conversation, welcome())
    assert not conversation.is_hello_due(10_000.0)


def test_new_connection_says_hello_at_once_and_waits_no_longer_than_the_first_time() -> None:
    conversation = talk(mark(M, 5))
    conversation.connect(50.0)
    assert conversation.session is None
    assert conversation.next_batch() is None
    assert conversation.is_hello_due(50.0)
    assert not conversation.is_hello_due(50.9)
    assert conversation.is_hello_due(51.0)


def test_nothing_is_sent_before_welcome() -> None:
    conversation = Conversation()
    conversation.update([mark(M, 5)])
    assert conversation.next_batch() is None


def test_welcome_sets_the_cursors_whatever_the_edge_believed() -> None:
    conversation = Conversation()
    conversation.update([mark(M, 10, committed=7), mark(A, 3, committed=3)])
    moved = hear(conversation, welcome(M=4))
    assert set(moved) == {(OLD, M, 4), (OLD, A, 0)}
    assert after(conversation) == (A, OLD, 0)
    assert conversation.pending == 9


def test_restored_fleet_with_older_cursors_is_refilled() -> None:
    conversation = talk(mark(M, 10))
    send(conversation)
    assert conversation.ack(ack(10), 1.0) == (OLD, M, 10)
    assert conversation.next_batch() is None
    conversation.greet(Greet(), 2.0)
    hear(conversation, welcome("s2", M=3))
    assert after(conversation) == (M, OLD, 3)


@pytest.mark.parametrize(("said", "kept"), [(99, 10), (-5, 0)])
def test_cursor_that_cannot_be_is_brought_within_what_is_held(said, kept) -> None:
    conversation = talk(mark(M, 10))
    conversation.greet(Greet(), 0.0)
    assert hear(conversation, welcome(M=said)) == [(OLD, M, kept)]


def test_alarms_go_before_measurements_and_these_before_waveforms() -> None:
    conversation = talk(mark(W, 1), mark(M, 1), mark(A, 1))
    assert [send(conversation).lane for _ in range(3)] == [A, M, W]
    conversation.update([mark(W, 2), mark(M, 2), mark(A, 2)])
    assert [send(conversation).lane for _ in range(3)] == [A, M, W]
    assert conversation.next_batch() is None


def test_oldest_epoch_goes_first_within_a_lane() -> None:
    conversation = talk(mark(M, 1, NEW), mark(M, 1, OLD), mark(A, 1, NEW))
    assert [(s.lane, s.epoch) for s in (send(conversation), send(conversation), send(conversation))] == [
        (A, NEW),
        (M, OLD),
        (M, NEW),
    ]


def test_batches_follow_each_other_without_waiting_for_answers() -> None:
    conversation = talk(mark(M, 25))
    assert [send(conversation, 10).last for _ in range(3)] == [10, 20, 25]
    assert conversation.next_batch() is None


def test_octets_in_flight_stay_within_the_window() -> None:
    conversation = talk(mark(M, 1000))
    assert conversation.window == WINDOW_FIRST
    plan = conversation.next_batch()
    assert plan == Plan(OLD, M, 0, WINDOW_FIRST)
    send(conversation, size=750)
    plan = conversation.next_batch()
    assert plan is not None
    assert plan.max_bytes == WINDOW_LEAST
    send(conversation, size=274)
    assert conversation.next_batch() is None
    conversation.ack(ack(10), 1.0)
    assert conversation.next_batch() is not None


def test_measurements_wait_for_a_good_part_of_the_window_where_alarms_take_the_first_octet() -> None:
    conversation = talk(mark(A, 0), mark(M, 10_000))
    plan = conversation.next_batch()
    assert plan is not None
    conversation.sent(plan, 100, conversation.window - 10, 0.0)
    assert conversation.next_batch() is None
    conversation.update([mark(A, 1), mark(M, 10_000)])
    alarm = conversation.next_batch()
    assert alarm is not None
    assert alarm.lane is A


def test_fleet_caps_the_window_within_bounds() -> None:
    assert talk(mark(M, 9), window=1000).window == 1000
    assert talk(mark(M, 9), window=1).window == WINDOW_LEAST
    assert talk(mark(M, 9), window=-7).window == WINDOW_LEAST
    fast = talk(mark(M, 10**6), window=10**9)
    for n in range(1, 40):
        send(fast, 10, size=WINDOW_MOST, now=n)
        fast.ack(ack(10 * n), n + 0.001)
    assert fast.window == WINDOW_MOST


def test_window_grows_to_twice_what_was_carried_and_shrinks_slowly_not_below_the_least() -> None:
    conversation = talk(mark(M, 10**6))
    send(conversation, 10, size=4000, now=1.0)
    conversation.ack(ack(10), 1.001)
    assert conversation.window == 2 * 4000
    windows = []
    for n in range(2, 60):
        send(conversation, 10, size=10, now=10.0 * n)
        conversation.ack(ack(10 * n), 10.0 * n + 5)
        windows.append(conversation.window)
    assert windows == sorted(windows, reverse=True)
    assert windows[0] > 4000
    assert windows[-1] == WINDOW_LEAST


def test_alarm_does_not_wait_for_measurements_in_flight() -> None:
    conversation = talk(mark(M, 1000))
    send(conversation, size=WINDOW_FIRST)
    assert conversation.next_batch() is None
    conversation.update([mark(M, 1000), mark(A, 1)])
    assert after(conversation) == (A, OLD, 0)


def test_ack_of_another_session_epoch_or_of_the_past_changes_nothing() -> None:
    conversation = talk(mark(M, 20))
    send(conversation)
    send(conversation)
    assert conversation.ack(ack(10, session="s0"), 1.0) is None
    assert conversation.ack(ack(10, epoch="00000009-zz"), 1.0) is None
    assert conversation.ack(ack(1, lane=A), 1.0) is None
    assert conversation.octets_in_flight == 200
    assert conversation.ack(ack(20), 1.0) == (OLD, M, 20)
    assert conversation.ack(ack(10), 1.1) is None
    assert conversation.ack(ack(20), 1.1) is None
    assert (conversation.pending, conversation.octets_in_flight) == (0, 0)


def test_ack_beyond_what_is_held_does_not_pass_the_head() -> None:
    conversation = talk(mark(M, 10))
    send(conversation)
    assert conversation.ack(ack(99), 1.0) == (OLD, M, 10)
    conversation.update([mark(M, 12)])
    assert after(conversation) == (M, OLD, 10)


def test_refusal_rewinds_once_per_round() -> None:
    conversation = talk(mark(M, 40))
    first_round = conversation.round
    for _ in range(4):
        send(conversation)
    conversation.ack(ack(10), 1.0)
    conversation.refused(refused(11, first_round))
    assert (conversation.round, after(conversation)) == (first_round + 1, (M, OLD, 10))
    send(conversation)
    conversation.refused(refused(11, first_round))
    assert after(conversation) == (M, OLD, 20)
    conversation.refused(refused(16, first_round + 1))
    assert after(conversation) == (M, OLD, 15)


def test_refusal_of_another_session_is_ignored() -> None:
    conversation = talk(mark(M, 40))
    send(conversation)
    conversation.refused(refused(1, conversation.round, session="s0"))
    assert after(conversation) == (M, OLD, 10)


@pytest.mark.parametrize(("expected", "resumes"), [(-5, 0), (0, 0), (2**64 - 1, None)])
def test_refusal_that_makes_no_sense_stays_within_what_is_held(expected, resumes) -> None:
    conversation = talk(mark(M, 10))
    send(conversation)
    conversation.refused(refused(expected, conversation.round))
    plan = conversation.next_batch()
    assert (plan and plan.after) == resumes


def test_unanswered_batch_is_sent_again_after_the_time_out_which_doubles() -> None:
    conversation = talk(mark(M, 10))
    now, pauses = 0.0, []
    for _ in range(6):
        began = now
        send(conversation, now=now)
        while not conversation.expire(now):
            now += 0.5
        pauses.append(now - began)
        assert after(conversation) == (M, OLD, 0)
    assert pauses == [RESEND_LEAST_S, 10, 20, 40, RESEND_MOST_S, RESEND_MOST_S]
    send(conversation, now=now)
    conversation.ack(ack(10), now + 1)
    conversation.update([mark(M, 20)])
    send(conversation, now=now)
    assert conversation.expire(now + RESEND_LEAST_S)


def test_late_answer_after_a_rewind_saves_sending_again() -> None:
    conversation = talk(mark(M, 10))
    send(conversation)
    assert conversation.expire(RESEND_LEAST_S)
    assert conversation.ack(ack(10), 6.0) == (OLD, M, 10)
    assert conversation.next_batch() is None


def test_second_welcome_voids_what_was_in_flight() -> None:
    conversation = talk(mark(M, 10))
    send(conversation)
    hear(conversation, welcome("s2"))
    assert conversation.octets_in_flight == 0
    assert after(conversation) == (M, OLD, 0)


def test_time_out_follows_slow_answers() -> None:
    conversation = talk(mark(M, 1000))
    for n in range(1, 30):
        send(conversation, now=100.0 * n)
        conversation.ack(ack(10 * n), 100.0 * n + 4)
    send(conversation, now=5000.0)
    assert not conversation.expire(5015.0)
    assert conversation.expire(5016.0)


def test_nothing_is_sent_again_while_its_puback_is_outstanding() -> None:
    conversation = talk(mark(M, 20))
    first = send(conversation, puback=False)
    assert not conversation.expire(1000.0)
    second = send(conversation, now=999.0, puback=False)
    conversation.puback(first)
    assert not conversation.expire(1000.0), "the second batch of that lane is still on its way to the broker"
    conversation.puback(second)
    assert conversation.expire(1000.0)
    assert after(conversation) == (M, OLD, 0)


def test_lost_alarm_is_sent_again_though_measurements_are_always_on_their_way() -> None:
    conversation = talk(mark(M, 1000), mark(A, 1))
    assert send(conversation).lane is A
    send(conversation, now=5.0, puback=False)
    assert conversation.expire(5.0)
    assert after(conversation) == (A, OLD, 0)
    send(conversation, now=5.0)
    assert after(conversation) == (M, OLD, 10), "measurements in flight are not sent twice for an alarm's sake"


def test_nothing_expires_when_all_is_answered() -> None:
    conversation = talk(mark(M, 10))
    send(conversation)
    conversation.ack(ack(10), 1.0)
    assert not conversation.expire(1000.0)


def test_greet_asks_for_a_hello_at_once_and_many_greets_for_one() -> None:
    conversation = talk(mark(M, 10))
    send(conversation)
    conversation.greet(Greet(), 5.0)
    conversation.greet(Greet(), 5.0)
    assert conversation.is_hello_due(5.0)
    conversation.greet(Greet(), 5.1)
    assert not conversation.is_hello_due(5.1)
    hear(conversation, welcome("s2"))
    assert after(conversation) == (M, OLD, 0)


def test_greet_for_a_session_that_has_ended_already_asks_for_nothing() -> None:
    conversation = talk(mark(M, 10))
    hear(conversation, welcome("s2"))
    conversation.greet(Greet(session="s1"), 5.0)
    assert conversation.session == "s2"
    conversation.greet(Greet(session="s2"), 5.0)
    assert conversation.session is None


@pytest.mark.parametrize("one_way_s", [0.3, 1.0, 3.0, 6.0])
def test_on_a_slow_link_the_hellos_come_to_an_end(one_way_s) -> None:
    fleet, talk, now, hellos = Fleet(), Conversation(), 0.0, 0
    up: deque[tuple[float, tuple]] = deque()
    down: deque[tuple[float, object]] = deque()
    talk.connect(now)
    talk.update([mark(M, 10**6)])
    while now < 120:
        now += 0.1
        if talk.is_hello_due(now):
            hellos += 1
            talk.hello_sent(str(hellos))
            up.append((now + one_way_s, ("hello", str(hellos), talk.offer())))
        while (plan := talk.next_batch()) is not None:
            items = list(range(plan.after, plan.after + 10))
            talk.puback(talk.sent(plan, plan.after + 10, plan.max_bytes, now))
            up.append((now + one_way_s, (talk.session, talk.round, plan, items)))
        while up and up[0][0] <= now:
            at, message = up.popleft()
            down.append((at + one_way_s, fleet.hello(*message[1:]) if message[0] == "hello" else fleet.batch(*message)))
        while down and down[0][0] <= now:
            at, answer = down.popleft()
            match answer:
                case Welcome():
                    talk.welcome(answer)
                case Ack():
                    talk.ack(answer, now)
                case Refused():
                    talk.refused(answer)
                case Greet():
                    talk.greet(answer, now)
    assert hellos <= 5
    assert talk.session == fleet.session


def test_answer_to_a_batch_of_before_the_greet_is_void() -> None:
    conversation = talk(mark(M, 10))
    send(conversation)
    conversation.greet(Greet(), 5.0)
    assert conversation.ack(ack(10), 5.1) is None


def test_retired_epoch_is_forgotten() -> None:
    conversation = talk(mark(M, 5, OLD), mark(M, 5, NEW))
    conversation.update([mark(M, 5, NEW)])
    assert conversation.pending == 5
    assert after(conversation) == (M, NEW, 0)


class Fleet:
    """A fleet in a few lines: one cursor per epoch and lane; it stores what follows and trims what it has."""

    def __init__(self) -> None:
        self.session: str | None = None
        self.sessions = 0
        self.cursors: dict[tuple[str, Lane], int] = {}
        self.records: dict[tuple[str, Lane], list[int]] = {}
        self.backups: list[tuple[dict, dict]] = [({}, {})]
        self.run = 1

    def hello(self, id_: str, epochs: set[str], continued: str = "") -> Welcome:
        self.sessions += 1
        self.session = f"{self.run}-{self.sessions}"
        cursors: dict[str, dict[Lane, int]] = {}
        for (epoch, lane), seq in self.cursors.items():
            if epoch in epochs:
                cursors.setdefault(epoch, {})[lane] = seq
        return Welcome(session=self.session, window=WINDOW_MOST, time=0, cursors=cursors, hello=id_,
                       continues=continued.startswith(f"{self.run}-"))  # fmt: skip

    def batch(self, session: str, round_: int, plan: Plan, items: list[int]) -> Ack | Refused | Greet:
        if session != self.session:
            return Greet(session=session)
        key = (plan.epoch, plan.lane)
        cursor = self.cursors.get(key, 0)
        if plan.after > cursor:
            return Refused(session=session, round=round_, epoch=plan.epoch, lane=plan.lane, expected=cursor + 1)
        fresh = items[cursor - plan.after :]
        self.records.setdefault(key, []).extend(fresh)
        self.cursors[key] = cursor + len(fresh)
        return Ack(session=session, epoch=plan.epoch, lane=plan.lane, committed=self.cursors[key])

    def back_up(self) -> None:
        self.backups.append(deepcopy((self.cursors, self.records)))

    def restore(self, which: int) -> None:
        self.cursors, self.records = deepcopy(self.backups[which % len(self.backups)])
        self.forget()

    def forget(self) -> None:
        """The program starts anew."""
        self.session = None
        self.run += 1


class World:
    """A gateway, a pipe that keeps order but loses and repeats, and a fleet that forgets."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.loss = self.repeat = 0.0
        self.now = 0.0
        self.held: dict[tuple[str, Lane], list[int]] = {}
        self.epoch = ""
        self.number = 0
        self.talk = Conversation()
        self.fleet = Fleet()
        self.up: deque[tuple[Sent | None, tuple]] = deque()
        self.down: deque[object] = deque()
        self.unacknowledged: list[Sent] = []
        self.starts = self.hellos = 0
        self.start()

    def start(self) -> None:
        """The agent starts: new epoch, nothing remembered but the spool."""
        self.starts += 1
        self.epoch = f"{self.starts:08d}-x"
        self.held.update({(self.epoch, lane): [] for lane in LANES})
        self.talk = Conversation()
        self.reconnect()

    def reconnect(self) -> None:
        self.up.clear()
        self.down.clear()
        self.talk.connect(self.now)
        self.look()

    def look(self) -> None:
        self.talk.update(
            Mark(epoch=epoch, lane=lane, first=1, head=len(numbers), committed=0)
            for (epoch, lane), numbers in self.held.items()
        )

    def append(self, lane: Lane, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.held[self.epoch, lane].append(self.number)
        self.look()

    def tick(self, seconds: float, deliver: int = 10**6) -> None:
        """Time passes; the gateway speaks, the pipe carries at most ``deliver`` messages each way."""
        self.now += seconds
        if self.talk.is_hello_due(self.now):
            self.hellos += 1
            self.talk.hello_sent(str(self.hellos))
            self.up.append((None, ("hello", str(self.hellos), self.talk.offer(), self.talk.continues)))
        self.talk.expire(self.now)
        while (plan := self.talk.next_batch()) is not None:
            items = self.held[plan.epoch, plan.lane][plan.after :][: 1 + plan.max_bytes // 400]
            assert items, "a batch is never empty"
            sent = self.talk.sent(plan, plan.after + len(items), 100 * len(items), self.now)
            assert self.talk.octets_in_flight <= 2 * WINDOW_MOST
            self.up.append((sent, ("batch", self.talk.session, self.talk.round, plan, items)))
        for _ in range(min(deliver, len(self.up))):
            sent, message = self.up.popleft()
            if sent is not None:
                self.talk.puback(sent)
            self.carry(message)
        for _ in range(min(deliver, len(self.down))):
            self.hear(self.down.popleft())

    def carry(self, message: tuple) -> None:
        times = 0 if self.chance.random() < self.loss else 2 if self.chance.random() < self.repeat else 1
        for _ in range(times):
            if message[0] == "hello":
                self.down.append(self.fleet.hello(*message[1:]))
            else:
                self.down.append(self.fleet.batch(*message[1:]))

    def hear(self, answer: object) -> None:
        if self.chance.random() < self.loss:
            return
        match answer:
            case Welcome():
                self.talk.welcome(answer)
            case Ack():
                self.talk.ack(answer, self.now)
            case Refused():
                self.talk.refused(answer)
            case Greet():
                self.talk.greet(answer, self.now)

    def calm_down(self) -> None:
        self.loss = self.repeat = 0.0
        for _ in range(1000):
            self.tick(0.5)
            if self.talk.session == self.fleet.session is not None and not self.talk.pending and self.talk.has_told:
                return
        raise AssertionError("the conversation does not come to an end")


STEPS = st.one_of(
    st.tuples(st.just(World.append), st.sampled_from(list(LANES)), st.integers(1, 60)),
    st.tuples(st.just(World.tick), st.sampled_from([0.1, 0.5, 3.0, 20.0]), st.sampled_from([0, 1, 3, 10**6])),
    st.tuples(st.just(World.tick), st.sampled_from([0.1, 0.5, 3.0, 20.0]), st.sampled_from([0, 1, 3, 10**6])),
    st.tuples(st.just(World.reconnect)),
    st.tuples(st.just(World.start)),
    st.tuples(st.just(lambda world: world.fleet.back_up())),
    st.tuples(st.just(lambda world, which: world.fleet.restore(which)), st.integers(0, 5)),
    st.tuples(st.just(lambda world: world.fleet.forget())),
    st.tuples(st.just(lambda world, loss, repeat: world.__dict__.update(loss=loss, repeat=repeat)),
              st.sampled_from([0.0, 0.2, 0.7]), st.sampled_from([0.0, 0.3])),
)  # fmt: skip


@pytest.mark.parametrize("epochs_most", [2, 64])
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=15, max_size=80), chance=st.randoms(use_true_random=False))
def test_in_the_end_the_fleet_has_every_record_once_and_in_order(monkeypatch, epochs_most, steps, chance) -> None:
    monkeypatch.setattr("edge.conversation.HELLO_EPOCHS_MOST", epochs_most)
    world = World(chance)
    for act, *arguments in steps:
        act(world, *arguments)
    if world.fleet.session != world.talk.session or world.fleet.session is None:
        world.append(A, 1)  # a fleet that forgot all is met by the next record only
    world.calm_down()
    assert world.fleet.records == {key: numbers for key, numbers in world.held.items() if numbers}


def test_ack_of_a_batch_that_was_trimmed_whole_takes_it_out_of_flight() -> None:
    conversation = talk(mark(M, 5))
    plan = conversation.next_batch()
    assert plan is not None
    conversation.ack(ack(5), 1.0)  # while the spool was being read, an earlier batch was acknowledged as a whole
    conversation.sent(plan, 5, 100, 1.0)
    assert conversation.next_batch() is None
    assert conversation.octets_in_flight == 100
    assert conversation.ack(ack(5), 1.1) is None
    assert conversation.octets_in_flight == 0


def test_hello_names_few_of_many_epochs_and_the_rest_once_these_are_delivered() -> None:
    epochs = [f"{n:08d}-x" for n in range(300)]
    conversation = Conversation()
    conversation.connect(0.0)
    conversation.update([mark(A, 1, epoch) for epoch in epochs])
    named: list[str] = []
    hellos = 0
    while not conversation.has_told or conversation.pending:
        assert conversation.is_hello_due(float(hellos))
        offered = conversation.offer()
        assert len(offered) <= HELLO_EPOCHS_MOST
        if not named:
            assert epochs[-1] in offered, "what happens now never waits for a further hello"
        assert not offered & set(named)
        named += offered
        conversation.hello_sent(str(hellos))
        conversation.welcome(Welcome(session=f"s{hellos}", window=WINDOW_MOST, time=0, cursors={}))
        while conversation.next_batch() is not None:
            sent = send(conversation)
            conversation.ack(ack(1, A, f"s{hellos}", sent.epoch), hellos + 0.2)
        hellos += 1
    assert (sorted(named), hellos) == (epochs, 5)


def test_alarms_of_no_epoch_wait_for_measurements_of_those_that_the_first_hello_named() -> None:
    epochs = [f"{n:08d}-x" for n in range(200)]
    conversation = Conversation()
    conversation.connect(0.0)
    conversation.update([mark(lane, 1000, epoch) for epoch in epochs for lane in (A, M)])
    sessions = 0
    sent_of: list[Lane] = []
    for now in range(1000):
        if conversation.is_hello_due(float(now)):
            sessions += 1
            conversation.offer()
            answer = Welcome(session=f"s{sessions}", window=WINDOW_MOST, time=0, cursors={}, continues=True)
            conversation.welcome(answer)
        sent = send(conversation, count=1000, now=float(now))
        conversation.ack(ack(sent.last, sent.lane, f"s{sessions}", sent.epoch), now + 0.1)
        sent_of.append(sent.lane)
        if sent_of.count(A) == len(epochs):
            break
    assert sent_of == [A] * len(epochs)
    assert sessions == 4


def test_late_welcome_to_an_earlier_hello_is_not_taken_for_the_answer() -> None:
    conversation = Conversation()
    conversation.connect(0.0)
    conversation.update([mark(M, 5, committed=5)])
    for name in ("first", "second"):
        conversation.offer()
        conversation.hello_sent(name)
    late = Welcome(session="s1", window=WINDOW_MOST, time=0, cursors={}, hello="first")
    assert conversation.welcome(late) == []
    assert (conversation.session, conversation.pending) == (None, 0)
    answer = Welcome(session="s2", window=WINDOW_MOST, time=0, cursors={OLD: {M: 5}}, hello="second")
    assert conversation.welcome(answer) == [(OLD, M, 5)]


@pytest.mark.parametrize("continues", [True, False])
def test_fleet_restored_between_two_hellos_is_told_again_of_what_the_first_named(monkeypatch, continues) -> None:
    monkeypatch.setattr("edge.conversation.HELLO_EPOCHS_MOST", 1)
    conversation = Conversation()
    conversation.connect(0.0)
    conversation.update([mark(M, 5, OLD), mark(M, 5, NEW)])
    assert conversation.offer() == {NEW}
    conversation.hello_sent("1")
    conversation.welcome(Welcome(session="s1", window=WINDOW_MOST, time=0, cursors={NEW: {M: 5}}, hello="1"))
    assert conversation.is_hello_due(0.2)
    assert (conversation.continues, conversation.offer()) == ("s1", {OLD})
    conversation.hello_sent("2")
    answer = Welcome(session="s2", window=WINDOW_MOST, time=0, cursors={OLD: {M: 5}}, hello="2", continues=continues)
    conversation.welcome(answer)
    assert conversation.has_told is continues
    assert conversation.offer() == (set() if continues else {NEW})


def test_epoch_that_begins_in_a_session_needs_no_hello() -> None:
    conversation = talk(mark(M, 1))
    send(conversation)
    conversation.ack(ack(1), 1.0)
    conversation.update([mark(M, 1), mark(A, 1, NEW)])
    assert after(conversation) == (A, NEW, 0)
    assert not conversation.is_hello_due(1000.0)


def test_what_a_link_takes_at_once_is_not_taken_for_its_rate() -> None:
    """A modem or a token bucket takes the first octets at once, whatever the link behind it carries."""
    conversation = talk(mark(M, 10**6))
    windows = [conversation.window]
    for n in range(1, 9):
        send(conversation, size=conversation.window, now=float(n))
        conversation.ack(ack(10 * n), n + 0.001)
        windows.append(conversation.window)
    assert windows == [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 131_072]


def test_new_connection_may_be_a_thin_one_whatever_the_last_one_carried() -> None:
    conversation = talk(mark(M, 10**6))
    send(conversation, size=100_000, now=0.0)
    conversation.ack(ack(10), 0.1)
    assert conversation.window == WINDOW_MOST
    conversation.greet(Greet(), 1.0)
    assert conversation.window == WINDOW_MOST, "the connection is the same"
    conversation.connect(2.0)
    assert (conversation.window, conversation.measured_rate) == (WINDOW_FIRST, None)


def test_small_batch_tells_no_rate_unless_its_answer_takes_longer_than_the_window() -> None:
    conversation = talk(mark(M, 10**6))
    send(conversation, size=100_000, now=0.0)
    conversation.ack(ack(10), 1.0)
    assert conversation.rate == 100_000
    conversation.update([mark(M, 20)])
    send(conversation, size=50, now=10.0)
    conversation.ack(ack(20), 11.0)
    assert conversation.rate == 100_000
    conversation.update([mark(M, 30)])
    send(conversation, size=50, now=20.0)
    conversation.ack(ack(30), 23.0)
    assert conversation.rate < 80_000


def test_batches_in_a_row_tell_the_rate_of_the_link_and_not_of_one_of_them() -> None:
    """Four batches of 500 octets on a link of 1000 octets a second: each waits for those before it."""
    conversation = talk(mark(M, 10**6))
    conversation._rate = 1000.0
    for _ in range(4):
        send(conversation, size=500, now=0.0)
    for n in range(1, 60):
        conversation.ack(ack(10 * n), 0.5 * n)
        while conversation.next_batch() is not None:
            send(conversation, size=500, now=0.5 * n)
    assert conversation.measured_rate == pytest.approx(1000, rel=0.05)


def test_metered_link_without_an_allowance_carries_lane_a_only() -> None:
    conversation = talk(mark(A, 1), mark(M, 1000), mark(W, 10))
    assert send(conversation).lane is A
    assert conversation.next_batch(allowance=0) is None
    plan = conversation.next_batch(allowance=100)
    assert plan == Plan(OLD, M, 0, 100)


def test_alarms_do_not_count_among_the_batches_that_wait_for_the_broker() -> None:
    conversation = talk(mark(A, 1), mark(M, 1000))
    send(conversation, puback=False)
    assert conversation.unconfirmed == 0
    sent = send(conversation, puback=False)
    assert conversation.unconfirmed == 1
    conversation.puback(sent)
    assert conversation.unconfirmed == 0


class ThinLink:
    """A link of so many octets a second, in virtual time: what was handed over goes out in its order.

    After a pause it takes ``burst`` octets at once.
    """

    def __init__(self, octets_per_s: float, burst: int) -> None:
        self.octets_per_s = octets_per_s
        self.burst = burst
        self.free_at = 0.0
        self.arriving: deque[tuple[float, Sent]] = deque()

    def carry(self, sent: Sent, now: float) -> None:
        self.free_at = max(self.free_at, now - self.burst / self.octets_per_s) + sent.size / self.octets_per_s
        self.arriving.append((max(self.free_at, now) + 0.1, sent))


@pytest.mark.parametrize("burst", [0, 1600])
@pytest.mark.parametrize("octets_per_s", [500, 1000, 5000])
def test_alarm_reaches_the_fleet_within_five_seconds_over_a_backlog_of_a_day(octets_per_s: int, burst: int) -> None:
    """The share of live values and parts on a thin link comes on top: at most half of the window."""
    conversation = Conversation()
    conversation.connect(0.0)
    alarms, raised, delays = 0, {}, []
    link = ThinLink(octets_per_s, burst)
    conversation.update([mark(M, 10**6), mark(A, 0)])
    conversation.offer()
    conversation.hello_sent("h")
    conversation.welcome(welcome())
    now = 500 / octets_per_s
    for tick in range(6000):
        now += 0.05
        if tick % 97 == 0:
            alarms += 1
            raised[alarms] = now
            conversation.update([mark(M, 10**6), mark(A, alarms)])
        while (plan := conversation.next_batch()) is not None:
            count = alarms if plan.lane is A else plan.after + plan.max_bytes // 50
            size = 150 if plan.lane is A else plan.max_bytes
            link.carry(conversation.sent(plan, count, size, now), now)
        while link.arriving and link.arriving[0][0] <= now:
            _, sent = link.arriving.popleft()
            conversation.puback(sent)
            conversation.ack(ack(sent.last, sent.lane), now)
            if sent.lane is A:
                delays += [now - raised.pop(n) for n in list(raised) if n <= sent.last]
        conversation.expire(now)
    busy = conversation._delivered / octets_per_s / now
    assert len(delays) > 50
    assert max(delays) <= 3.5
    assert busy > 0.8, "and the link is not left idle for it"
