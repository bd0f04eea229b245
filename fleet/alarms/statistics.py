"""Figures of an alarm system after ISA-18.2 / IEC 62682 (clause 16) and EEMUA 191. Pure: changes in, figures out.

A flood begins when more than 10 alarms were raised within 10 minutes and ends when fewer than 5 were. An alarm chatters
that is raised and cleared 3 times or more within a minute; one is stale that has been active for more than 24 hours.
Up to 150 alarms a day are acceptable for one operator, 300 the most that can be managed. Of all alarms about 80 %
should be of the lowest, 15 % of middle and 5 % of the highest priority.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence

import msgspec

from wire.alarm import CLEARED, RAISED

NS = 1_000_000_000
MINUTE_NS = 60 * NS
TEN_MINUTES_NS = 10 * MINUTE_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
FLOOD_ABOVE = 10
FLOOD_BELOW = 5
CHATTER_PAIRS = 3
STALE_NS = DAY_NS
ACCEPTABLE_A_DAY = 150
MOST_A_DAY = 300
MOST_FREQUENT = 10


class Happening(msgspec.Struct, frozen=True):
    """An alarm raised or cleared (``kind``) at a time, UTC in ns. ``alarm`` is (gateway, name)."""

    at_ns: int
    alarm: tuple[str, str]
    kind: str
    priority: int


class Flood(msgspec.Struct, frozen=True):
    """From its first alarm to its end, None while it goes on; ``count`` alarms were raised in it."""

    began_ns: int
    ended_ns: int | None
    count: int


class Frequent(msgspec.Struct, frozen=True):
    """An alarm, how often it was raised, and its share of all raises, 0..1."""

    alarm: tuple[str, str]
    count: int
    share: float


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a stretch of time. ``hours`` and ``days`` are (begin, raised); ``peak`` the most in any 10 minutes.

    ``chattering`` is (alarm, most pairs within a minute), ``priorities`` {priority: share of the raised, 0..1}.
    """

    raised: int
    per_day: float
    per_hour: float
    per_ten_minutes: float
    peak: int
    hours: tuple[tuple[int, int], ...]
    floods: tuple[Flood, ...]
    chattering: tuple[tuple[tuple[str, str], int], ...]
    frequent: tuple[Frequent, ...]
    priorities: dict[int, float]


def summarize(happenings: Iterable[Happening], from_ns: int, to_ns: int) -> Statistics:
    """Compute the figures of what happened from ``from_ns`` to ``to_ns``, in whatever order it is given."""
    ordered = sorted(happenings, key=lambda each: each.at_ns)
    raised = [each for each in ordered if each.kind == RAISED]
    times = [each.at_ns for each in raised]
    length_ns = max(to_ns - from_ns, 1)
    return Statistics(
        raised=len(raised),
        per_day=len(raised) * DAY_NS / length_ns,
        per_hour=len(raised) * HOUR_NS / length_ns,
        per_ten_minutes=len(raised) * TEN_MINUTES_NS / length_ns,
        peak=find_peak(times, TEN_MINUTES_NS),
        hours=count_by(times, from_ns, to_ns, HOUR_NS),
        floods=tuple(find_floods(times, to_ns)),
        chattering=tuple(find_chattering(ordered)),
        frequent=tuple(find_frequent(raised)),
        priorities=share_priorities(raised),
    )


def count_by(times: Iterable[int], from_ns: int, to_ns: int, step_ns: int) -> tuple[tuple[int, int], ...]:
    """Count times by stretches that begin at whole multiples of ``step_ns``; those without any count 0."""
    counts = Counter(at // step_ns for at in times)
    return tuple((n * step_ns, counts[n]) for n in range(from_ns // step_ns, (to_ns - 1) // step_ns + 1))


def find_peak(times: Sequence[int], window_ns: int) -> int:
    """Return the most of the times, in order, that lie within any window."""
    most = begin = 0
    for end, at in enumerate(times):
        while at - times[begin] >= window_ns:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def find_floods(times: Sequence[int], now_ns: int) -> list[Flood]:
    """Find the floods among the times at which alarms were raised, in order."""
    floods: list[Flood] = []
    window: deque[int] = deque()
    began_ns: int | None = None
    count = 0
    for at in (*times, None):
        now = now_ns if at is None else at
        while window and now - window[0] >= TEN_MINUTES_NS:
            gone = window.popleft()
            if began_ns is not None and len(window) < FLOOD_BELOW:
                floods.append(Flood(began_ns, gone + TEN_MINUTES_NS, count))
                began_ns = None
        if at is None:
            break
        window.append(at)
        count += 1
        if began_ns is None and len(window) > FLOOD_ABOVE:
            began_ns, count = window[0], len(window)
    if began_ns is not None:
        floods.append(Flood(began_ns, None, count))
    return floods


def find_chattering(ordered: Iterable[Happening]) -> list[tuple[tuple[str, str], int]]:
    """Find alarms raised and cleared `CHATTER_PAIRS` times within a minute, the worst first."""
    raised: dict[tuple[str, str], int] = {}
    pairs: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for each in ordered:
        if each.kind == RAISED:
            raised[each.alarm] = each.at_ns
        elif each.kind == CLEARED and each.alarm in raised:
            pairs[each.alarm].append((raised.pop(each.alarm), each.at_ns))
    found = [(alarm, _most_pairs(times)) for alarm, times in pairs.items()]
    return sorted((row for row in found if row[1] >= CHATTER_PAIRS), key=lambda row: (-row[1], row[0]))


def _most_pairs(pairs: Sequence[tuple[int, int]]) -> int:
    """The most pairs that begin and end within one minute."""
    most = begin = 0
    for end, (_, cleared_ns) in enumerate(pairs):
        while begin <= end and cleared_ns - pairs[begin][0] > MINUTE_NS:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def find_frequent(raised: Sequence[Happening], most: int = MOST_FREQUENT) -> list[Frequent]:
    """Find what was raised most often."""
    counts = Counter(each.alarm for each in raised)
    ordered = sorted(counts.items(), key=lambda row: (-row[1], row[0]))[:most]
    return [Frequent(alarm, count, count / len(raised)) for alarm, count in ordered]


def share_priorities(raised: Sequence[Happening]) -> dict[int, float]:
    """Return the share of each priority among the raised, none if nothing was."""
    counts = Counter(each.priority for each in raised)
    return {priority: counts[priority] / len(raised) for priority in (1, 2, 3, 4)} if raised else {}
