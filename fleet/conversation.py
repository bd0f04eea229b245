"""What to do with a batch, given the session and the cursor: a pure decision, so that every case can be tried.

    unknown session                     -> GreetAgain   the edge says hello and learns the cursor
    first > committed + 1               -> Refuse       a gap: nothing of it is kept, the edge rewinds to `expected`
    otherwise                           -> Take         what is at or below the cursor is trimmed, the rest is stored

`Take` of nothing new is still answered with an ack: the edge may have missed the first one.
"""

from __future__ import annotations

import msgspec

from wire.conversation import Batch

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
    """Store ``batch.items[skip:]``, or what the tombstone says of the numbers above the cursor, which is ``committed``
    afterwards."""

    skip: int
    committed: int


Decision = GreetAgain | Refuse | Take


def decide(session: str, committed: int, batch: Batch) -> Decision:
    """Decide on a batch. ``session`` is the one in force, "" for none; ``committed`` the cursor, 0 for none."""
    if not session or batch.session != session:
        return GreetAgain("unknown session")
    last = batch.last
    if not 1 <= batch.first <= committed + 1 or last > SEQ_MAX:
        return Refuse(committed + 1)
    skip = min(committed + 1 - batch.first, len(batch.items))
    return Take(skip, max(committed, last))
