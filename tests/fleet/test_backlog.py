from __future__ import annotations

import pytest

from fleet import backlog
from fleet.backlog import DEAF_S, TURN_MESSAGES, TURN_OCTETS, Backlog, Incoming
from tests.fleet import edge
from wire.codec import encode
from wire.record import Lane
from wire.topics import Up, format_topic

GATEWAYS = ("gw-one-0001", "gw-two-0002")


def measurements(seq: int, size: int = 0) -> bytes:
    payload = encode(edge.batch("s", seq, edge.scan(seq, 1.0, 1.0)))
    return payload + bytes(max(0, size - len(payload)))


def alarms(seq: int, count: int = 1) -> bytes:
    return encode(edge.batch("s", seq, *(edge.alarm(n, "raised") for n in range(count)), lane=Lane.ALARMS))


class Queue:
    """A backlog, told by payload."""

    def __init__(self, most_octets: int = backlog.QUEUED_OCTETS) -> None:
        self.backlog = Backlog(most_octets)

    def put(self, payload: bytes, kind: Up = Up.BATCH, gateway: str = GATEWAYS[0], at_s: float = 0.0) -> bool:
        return self.backlog.put(gateway, kind, Incoming(format_topic(gateway, kind), payload, 0), at_s)

    def take(self) -> list[bytes]:
        return [waiting.incoming.payload for waiting in self.backlog.take()]

    def drain(self) -> list[bytes]:
        taken: list[bytes] = []
        while some := self.take():
            taken += some
        return taken


def test_nothing_waits_at_first() -> None:
    queue = Queue()
    assert queue.take() == []
    assert len(queue.backlog) == 0


def test_messages_of_one_kind_keep_their_order() -> None:
    queue = Queue()
    sent = [measurements(n) for n in range(1, 6)]
    for payload in sent:
        queue.put(payload)
    assert len(queue.backlog) == 5
    assert queue.drain() == sent


def test_alarms_and_hellos_of_any_gateway_go_before_measurements_that_waited_longer() -> None:
    queue = Queue()
    first, second = measurements(1), measurements(2)
    raised, raised_later = alarms(1), alarms(2)
    hello = encode(edge.hello())
    queue.put(first)
    queue.put(second)
    queue.put(raised, gateway=GATEWAYS[1])
    queue.put(hello, Up.HELLO, gateway=GATEWAYS[1])
    queue.put(raised_later, gateway=GATEWAYS[1])
    assert queue.take() == [raised, hello, raised_later]
    assert queue.take() == [first, second]


def test_an_alarm_is_known_in_a_compressed_batch() -> None:
    queue = Queue()
    many = alarms(1, count=50)
    assert many[0] == 1
    queue.put(measurements(1))
    queue.put(many)
    assert queue.take() == [many]


def test_measurements_come_on_while_alarms_never_end() -> None:
    queue = Queue()
    waits = measurements(1)
    queue.put(waits)
    queue.put(alarms(1))
    assert waits not in queue.take()
    queue.put(alarms(2))
    assert queue.take() == [alarms(2), waits]


def test_a_turn_is_bounded_and_one_message_always_fits() -> None:
    queue = Queue()
    large = [measurements(n, TURN_OCTETS) for n in (1, 2)]
    for payload in large:
        queue.put(payload)
    assert queue.take() == large[:1]
    small = [measurements(n) for n in range(3, 4 + TURN_MESSAGES)]
    for payload in small:
        queue.put(payload)
    assert queue.take() == large[1:]
    assert queue.take() == small[:TURN_MESSAGES]
    assert queue.drain() == small[TURN_MESSAGES:]


def test_what_a_turn_did_not_use_comes_first_again() -> None:
    queue = Queue()
    sent = [measurements(n) for n in range(1, 5)]
    for payload in sent[:3]:
        queue.put(payload)
    taken = queue.backlog.take()
    queue.put(sent[3])
    queue.backlog.give_back(taken[1:])
    assert queue.drain() == sent[1:]


def test_what_something_newer_replaced_is_not_given_back() -> None:
    queue = Queue()
    queue.put(b"old", Up.REPORTED)
    taken = queue.backlog.take()
    queue.put(b"new", Up.REPORTED)
    queue.backlog.give_back(taken)
    assert queue.drain() == [b"new"]


@pytest.mark.parametrize("kind", [Up.HELLO, Up.REPORTED, Up.HEALTH])
def test_of_what_a_gateway_says_of_itself_only_the_newest_waits(kind: Up) -> None:
    queue = Queue()
    for payload in (b"old", b"new"):
        queue.put(payload, kind)
    queue.put(b"another's", kind, gateway=GATEWAYS[1])
    assert queue.drain() == [b"new", b"another's"]


@pytest.mark.parametrize("kind", [Up.HEALTH, Up.REPORTED])
def test_what_is_said_anew_keeps_its_place_so_that_its_turn_comes(kind: Up) -> None:
    queue = Queue()
    before, after = measurements(1), measurements(2)
    queue.put(before)
    queue.put(b"old", kind)
    queue.put(after)
    queue.put(b"new", kind)
    assert queue.drain() == [before, b"new", after]


def test_a_hello_makes_the_measurements_before_it_void_and_no_alarm() -> None:
    queue = Queue()
    kept, raised, reported, after = measurements(1), alarms(1), b"reported", measurements(9)
    queue.put(reported, Up.REPORTED)
    queue.put(measurements(2))
    queue.put(kept, gateway=GATEWAYS[1])
    queue.put(raised)
    queue.put(b"hello", Up.HELLO)
    queue.put(after)
    assert queue.drain() == [raised, b"hello", reported, kept, after]


def test_after_a_drop_a_gateway_is_not_heard_for_a_while_so_that_nothing_is_refused() -> None:
    size = 1000
    queue = Queue(most_octets=2 * size)
    sent = [measurements(n, size) for n in range(1, 6)]
    assert [queue.put(payload, at_s=1.0) for payload in sent[:3]] == [True, True, False]
    assert queue.drain() == sent[:2]
    # There is room, but what follows the dropped one would be refused, and all sent again at once.
    assert not queue.put(sent[3], at_s=1.0 + DEAF_S / 2)
    assert queue.put(sent[2], gateway=GATEWAYS[1], at_s=1.0 + DEAF_S / 2)
    assert queue.put(sent[2], at_s=1.0 + DEAF_S)
    assert queue.drain() == [sent[2], sent[2]]


def test_measurements_that_fill_the_backlog_keep_no_alarm_out() -> None:
    queue = Queue(most_octets=1000)
    assert queue.put(measurements(1, 1000))
    assert not queue.put(measurements(2, 1000))
    assert queue.put(alarms(1))
    assert queue.put(b"hello", Up.HELLO)
    assert queue.put(b"health", Up.HEALTH)


def test_too_many_alarms_are_dropped_too() -> None:
    queue = Queue(most_octets=len(alarms(1)))
    assert [queue.put(alarms(1)), queue.put(alarms(2)), queue.put(alarms(3), at_s=1.0)] == [True, False, False]


def test_a_hello_ends_the_deafness() -> None:
    queue = Queue(most_octets=1000)
    queue.put(measurements(1, 1000))
    assert not queue.put(measurements(2, 1000))
    queue.put(b"hello", Up.HELLO)
    assert queue.put(measurements(1, 1000))
    assert queue.drain()[0] == b"hello"


def test_who_was_deaf_long_ago_is_forgotten() -> None:
    queue = Queue(most_octets=0)
    for n, gateway in enumerate(GATEWAYS):
        queue.put(measurements(1), gateway=gateway, at_s=n * 2 * DEAF_S)
    assert list(queue.backlog._deaf_until_s) == [(GATEWAYS[1], False)]
