"""The page's drawings as SVG: the mark of a priority, and a value on its range. The style sheet gives the colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from edge.local.markup import Markup, join, tag
from edge.local.site import Limit
from edge.local.texts import Texts
from wire.sample import Value
from wire.twin import TagInfo

SHAPES = {
    1: ("M2 2h20v20H2z", 16.5),
    2: ("M12 1.5 23 22H1z", 19),
    3: ("M12 1a11 11 0 1 1 0 22 11 11 0 0 1 0-22z", 16.5),
    4: ("M12 .5 23.5 12 12 23.5.5 12z", 16.5),
}
"""Square, triangle, circle, diamond, and where the digit stands: colour is never alone."""
HEIGHT = 12


def draw_mark(texts: Texts, priority: int) -> Markup:
    """Draw the shape and digit of a priority."""
    path, base = SHAPES.get(priority, SHAPES[4])
    return tag(
        "svg",
        tag("path", d=path),
        tag("text", priority, x=12, y=base),
        class_=f"mark p{priority}",
        viewBox="0 0 24 24",
        role="img",
        aria_label=texts("priority", priority=priority),
    )


def draw_range(texts: Texts, info: TagInfo, limits: Iterable[Limit], value: Value) -> Markup | None:
    """Draw a value on its instrument's range with the bands of its limits; None where no range is known."""
    if info.low is None or info.high is None:
        return None
    parts = [tag("rect", class_="track", width="100%", height=HEIGHT), *_bands(limits, info.low, info.high)]
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        at = _share(value, info.low, info.high)
        parts.append(tag("line", class_="at", x1=at, x2=at, y1=-2, y2=HEIGHT + 2))
    label = texts("range", low=f"{info.low:g}", high=f"{info.high:g}")
    return tag("svg", join(parts), class_="range", height=HEIGHT, width="100%", role="img", aria_label=label)


def _bands(limits: Iterable[Limit], low: float, high: float) -> Iterator[Markup]:
    """The widest first, so that the inner and more urgent ones lie on top."""
    bands = []
    for limit in limits:
        share = _fraction(limit.at, low, high)
        start, width = (share, 1 - share) if limit.is_upper else (0.0, share)
        bands.append((width, start, limit.priority))
    for width, start, priority in sorted(bands, key=lambda band: -band[0]):
        yield tag("rect", class_=f"band p{priority}", x=f"{start:.1%}", width=f"{width:.1%}", height=HEIGHT)


def _fraction(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _share(value: float, low: float, high: float) -> str:
    return f"{_fraction(value, low, high):.1%}"
