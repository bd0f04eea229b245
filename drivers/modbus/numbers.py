"""Numbers the requests of a recorded Modbus TCP conversation anew. Pure.

A driver counts its requests from 1 after it has opened the line. What was recorded later, or had a part cut out, has
other numbers, which nobody sends again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drivers.modbus.exchange import NUMBERS
from drivers.replay import Step

HEAD_OCTETS = 6
"""Of a frame, before those that it counts: its number, 0, and how many follow, two octets each."""
UNASKED = bytes(2)
"""The number of a reply whose request was not recorded. No request has it."""


def renumber_mbap(steps: Sequence[Step]) -> Sequence[Step]:
    """Give the requests the numbers 1, 2 ... and each reply that of its request, whatever pieces it came in."""
    new: dict[bytes, bytes] = {}
    came, frame, asked = bytearray(), 0, 0
    for step in steps:
        if step.sent:
            new[step.data[:2]] = _number(asked)
            asked += 1
            continue
        came += step.data
        while len(came) >= frame + HEAD_OCTETS:
            came[frame : frame + 2] = new.get(bytes(came[frame : frame + 2]), UNASKED)
            frame += HEAD_OCTETS + int.from_bytes(came[frame + 4 : frame + HEAD_OCTETS], "big")
    return tuple(_put_together(steps, bytes(came)))


def _put_together(steps: Sequence[Step], came: bytes) -> Iterator[Step]:
    at = asked = 0
    for step in steps:
        if step.sent:
            yield Step(True, _number(asked) + step.data[2:])
            asked += 1
        else:
            yield Step(False, came[at : at + len(step.data)])
            at += len(step.data)


def _number(asked: int) -> bytes:
    return (asked % NUMBERS + 1).to_bytes(2, "big")
