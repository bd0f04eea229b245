"""What is made of the frames on a line."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from drivers.base import Clock, Scan
from drivers.framing.model import Field
from drivers.framing.splitter import Frame
from drivers.stream import Splitter
from wire.sample import Quality, Value

BAD_FRAME = int(Quality.BAD_FRAME)


Take = Callable[[Frame], "tuple[Value, int] | None"]
"""Take value and quality of a tag out of a frame; None if it is of a kind that does not carry the tag."""


class Layout(msgspec.Struct, frozen=True):
    """An instrument's frames: how to find them, and how to take a tag (named for errors) out of one."""

    make_splitter: Callable[[Clock], Splitter[Frame]]
    take: Callable[[str, Field], Take]


class Reading(msgspec.Struct, frozen=True):
    """A group, ready to be filled from a frame."""

    group: str
    takes: tuple[Take, ...]

    def scan(self, frame: Frame) -> Scan | None:
        """Fill a scan; None if the frame carries none of the group's tags. One that it lacks is bad."""
        found = [take(frame) for take in self.takes]
        if all(each is None for each in found):
            return None
        values, quality = zip(*(each or (None, BAD_FRAME) for each in found), strict=True)
        return Scan(self.group, frame.mono_ns, values, quality)
