"""What to do with a batch, given the session and the cursor: a pure decision, so that every case can be tried.

    unknown session                     -> GreetAgain   the edge says hello and learns the cursor
    first > committed + 1               -> Refuse       a gap: nothing of it is kept, the edge rewinds to `expected`
    otherwise                           -> Take         what is at or below the cursor is trimmed, the rest is stored

`Take` of nothing new is still answered with an ack: the edge may have missed the first one.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from wire.conversation import Batch, Hello
from wire.record import Lane

WINDOW_OCTETS = 131_072
"""Most octets in flight that a welcome allows."""
SEQ_MAX = 2**63 - 1
"""The largest number a cursor can hold."""


class GreetAgain(msgspec.Struct, frozen=True):
    """The session is not the one in force."""

    reason: str


class Refuse(msgspec.Struct, frozen=True):
    """The batch leaves a gap; ``expected`` comes next."""

    expected: int


class Take(msgspec.Struct, frozen=True):
    """Store ``batch.items[skip:]``; the cursor is ``committed`` afterwards."""

    skip: int
    committed: int


Decision = GreetAgain | Refuse | Take


class Missing(msgspec.Struct, frozen=True):
    """Records ``first``..``last`` that the fleet lacks and the gateway no longer holds: they are lost, and shown."""

    epoch: str
    lane: Lane
    first: int
    last: int


def find_missing(hello: Hello, cursors: Mapping[str, Mapping[Lane, int]]) -> list[Missing]:
    """Compare what a gateway holds with the cursors. Only a database that is new or older than the spool lacks any."""
    return [
        Missing(epoch, lane, have + 1, span.first - 1)
        for epoch, lanes in hello.epochs.items()
        for lane, span in lanes.items()
        if (have := cursors.get(epoch, {}).get(lane, 0)) + 1 < span.first <= span.head + 1
    ]


def decide(session: str, committed: int, batch: Batch) -> Decision:
    """Decide on a batch. ``session`` is the one in force, "" for none; ``committed`` the cursor, 0 for none."""
    if not session or batch.session != session:
        return GreetAgain("unknown session")
    last = batch.first + len(batch.items) - 1
    if not 1 <= batch.first <= committed + 1 or last > SEQ_MAX:
        return Refuse(committed + 1)
    skip = min(committed + 1 - batch.first, len(batch.items))
    return Take(skip, max(committed, last))
