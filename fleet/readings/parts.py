"""Values put together by minutes and hours: pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import msgspec

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


class Part(msgspec.Struct, frozen=True):
    """Some values of one tag: how many, the smallest, the largest, their mean, the last and its time.

    ``at_ns`` is UTC: of a single value its own time, of several the begin of the stretch that they lie in.
    """

    at_ns: int
    count: int
    low: float
    high: float
    mean: float
    last: float
    last_ns: int


def one(at_ns: int, value: float) -> Part:
    """A single value."""
    return Part(at_ns, 1, value, value, value, value, at_ns)


def fold(parts: Iterable[Part], width_ns: int) -> list[Part]:
    """Put parts together that begin in the same stretch of ``width_ns``. They come in the order of their time."""
    stretches = groupby(parts, key=lambda part: part.at_ns - part.at_ns % width_ns)
    return [join(begin, list(inside)) for begin, inside in stretches]


def join(at_ns: int, parts: list[Part]) -> Part:
    """Put parts together into one that begins at ``at_ns``. Of two last values of one time the later part's stays."""
    count = sum(part.count for part in parts)
    newest = max(reversed(parts), key=lambda part: part.last_ns)
    return Part(
        at_ns,
        count,
        min(part.low for part in parts),
        max(part.high for part in parts),
        sum(part.mean * (part.count / count) for part in parts),
        newest.last,
        newest.last_ns,
    )
