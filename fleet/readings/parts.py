"""Values put together by minutes and hours: pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import msgspec

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS


class Part(msgspec.Struct, frozen=True):
    """Some consecutive values of one tag: how many, the smallest, the largest, their mean and the last.

    ``at_ns`` is UTC: of a single value its own time, of several the begin of the minute or hour.
    """

    at_ns: int
    count: int
    low: float
    high: float
    mean: float
    last: float


def one(at_ns: int, value: float) -> Part:
    """A single value."""
    return Part(at_ns, 1, value, value, value, value)


def fold(parts: Iterable[Part], width_ns: int) -> list[Part]:
    """Put parts together that begin in the same stretch of ``width_ns``. They come in the order of their time."""
    stretches = groupby(parts, key=lambda part: part.at_ns - part.at_ns % width_ns)
    return [join(begin, list(inside)) for begin, inside in stretches]


def join(at_ns: int, parts: list[Part]) -> Part:
    """Put parts together into one that begins at ``at_ns``."""
    count = sum(part.count for part in parts)
    return Part(
        at_ns,
        count,
        min(part.low for part in parts),
        max(part.high for part in parts),
        sum(part.mean * (part.count / count) for part in parts),
        parts[-1].last,
    )
