"""Destinations that are behind. `judge` is pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

NS = 1_000_000_000
BEHIND_NS, CAUGHT_UP_NS = 600 * NS, 60 * NS
"""How long a destination's oldest record waits when it is behind, and when it no longer is."""


def judge(waiting_since: Mapping[str, int], up: Collection[str], now_ns: int) -> dict[str, str]:
    """{destination: how long its oldest record waits, for people} of those that are behind; ``up`` were so before."""
    waits_ns = {name: now_ns - since_ns for name, since_ns in waiting_since.items()}
    return {
        name: f"{waited_ns // NS} s"
        for name, waited_ns in waits_ns.items()
        if waited_ns >= (CAUGHT_UP_NS if name in up else BEHIND_NS)
    }
