"""Stretches of time of one stream: joined where samples follow each other, cut where packets went. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from seismic.packet import NS

SLACK = 0.5
"""Two packets follow each other if the second comes within so much of a sample's time of when it is due, as is usual
where miniSEED is read."""

LOOKED_AT = 8
"""So many stretches that overlap each other are told apart; a clock that jumps makes two or three."""


class Span(msgspec.Struct, frozen=True, order=True):
    """From ``start_ns`` up to ``end_ns`` (UTC), at a rate."""

    start_ns: int
    end_ns: int
    rate_hz: float


def follows(first: Span, second: Span) -> bool:
    """Tell whether one stretch goes on where the other ends."""
    return first.rate_hz == second.rate_hz and abs(second.start_ns - first.end_ns) <= SLACK * NS / first.rate_hz


def join(spans: Iterable[Span]) -> list[Span]:
    """Put together what follows each other. What overlaps stays apart."""
    joined: list[Span] = []
    for span in sorted(spans):
        for index in range(len(joined) - 1, max(len(joined) - 1 - LOOKED_AT, -1), -1):
            if follows(joined[index], span):
                joined[index] = Span(joined[index].start_ns, span.end_ns, span.rate_hz)
                break
        else:
            joined.append(span)
    return joined


def cut(span: Span, gone: Iterable[Span]) -> list[Span]:
    """Return what is left of a stretch once others went out of it; less than half a sample is nothing."""
    left = [span]
    least_ns = SLACK * NS / span.rate_hz
    for out in gone:
        parts = [
            part
            for rest in left
            for part in (
                Span(rest.start_ns, min(rest.end_ns, out.start_ns), rest.rate_hz),
                Span(max(rest.start_ns, out.end_ns), rest.end_ns, rest.rate_hz),
            )
        ]
        left = [part for part in parts if part.end_ns - part.start_ns > least_ns]
    return left


def find_gaps(spans: Sequence[Span], start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """Return the stretches between two times in which nothing is, (from, to), oldest first."""
    gaps: list[tuple[int, int]] = []
    reached = start_ns
    least_ns = 0
    for span in sorted(spans):
        if span.start_ns - reached > least_ns:
            gaps.append((reached, min(span.start_ns, end_ns)))
        reached = max(reached, span.end_ns)
        least_ns = round(SLACK * NS / span.rate_hz)
        if reached >= end_ns:
            return gaps
    if end_ns - reached > least_ns:
        gaps.append((reached, end_ns))
    return gaps
