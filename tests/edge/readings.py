"""Readings as tests write them: seconds instead of nanoseconds."""

from __future__ import annotations

NS = 1_000_000_000


def at(seconds: float) -> int:
    """Monotonic time in ns; an hour in, so that nothing begins at 0."""
    return round((3600 + seconds) * NS)
