from __future__ import annotations

import pytest

from fleet.conversation import SEQ_MAX, GreetAgain, Refuse, Take, decide
from wire.conversation import Batch, Clock
from wire.record import Lane

SESSION = "run-1"


def batch(first: int, count: int, session: str = SESSION) -> Batch:
    items = tuple(b"item" for _ in range(count))
    return Batch(
        session=session, round=0, epoch="e", lane=Lane.ALARMS, first=first, items=items, boot="b", clock=Clock()
    )


@pytest.mark.parametrize(
    ("committed", "first", "count", "expected"),
    [
        (0, 1, 3, Take(0, 3)),  # the very first records
        (3, 4, 2, Take(0, 5)),  # what follows the cursor
        (5, 4, 2, Take(2, 5)),  # all of it committed before: answered again
        (5, 1, 3, Take(3, 5)),  # older than the cursor: the cursor stays
        (5, 4, 4, Take(2, 7)),  # an overlap: the known head is trimmed
        (5, 6, 0, Take(0, 5)),  # nothing in it
        (5, 5, 0, Take(0, 5)),
        (5, 7, 1, Refuse(6)),  # a gap of one
        (0, 2, 1, Refuse(1)),  # the first record is missing
        (5, 7, 0, Refuse(6)),  # a gap, even if nothing is in it
        (5, 0, 9, Refuse(6)),  # numbers start at 1
        (5, -3, 9, Refuse(6)),
        (SEQ_MAX - 1, SEQ_MAX, 1, Take(0, SEQ_MAX)),
        (SEQ_MAX - 1, SEQ_MAX, 2, Refuse(SEQ_MAX)),  # no cursor can hold the last one
    ],
)
def test_a_batch_is_taken_trimmed_or_refused_by_the_cursor(
    committed: int, first: int, count: int, expected: Take | Refuse
) -> None:
    assert decide(SESSION, committed, batch(first, count)) == expected


@pytest.mark.parametrize("in_force", ["", "run-2"])
def test_an_unknown_session_is_greeted_whatever_it_brings(in_force: str) -> None:
    assert isinstance(decide(in_force, 0, batch(1, 1)), GreetAgain)


def test_an_empty_session_is_never_in_force() -> None:
    assert isinstance(decide("", 0, batch(1, 1, session="")), GreetAgain)


def test_any_resending_ends_with_every_record_taken_once() -> None:
    """Whatever order batches of 1..20 come in, each number is stored once and the cursor never goes back."""
    committed, stored = 0, []
    for first, count in [(1, 4), (3, 4), (9, 2), (1, 4), (7, 1), (8, 3), (7, 9), (16, 5), (1, 20)]:
        decision = decide(SESSION, committed, batch(first, count))
        if isinstance(decision, Take):
            stored += range(first + decision.skip, first + count)
            assert decision.committed >= committed
            committed = decision.committed
    assert stored == list(range(1, 21))
    assert committed == 20
