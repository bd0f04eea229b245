"""In which order alarms are shown, and what may be asked of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from edge.operating import AlarmView
from wire.alarm import SILENCED, Standing

_SILENCED = int(SILENCED)
_STANDS = int(Standing.ACTIVE | Standing.UNACKNOWLEDGED | Standing.LATCHED | SILENCED)
"""Whatever has none of these stands normal. As numbers: a flood is looked through many times."""
FIRST_OUT = 10
FLOOD_NS = 600 * 1_000_000_000
"""More than ten alarms within ten minutes are a flood (ANSI/ISA-18.2, IEC 62682): no operator keeps up."""


class Arranged(msgspec.Struct, frozen=True):
    """``first_out``: in a flood its first ten, as they came. ``called``: all others that are annunciated, by priority
    and by who came first. ``set_aside``: shelved, suppressed, out of service."""

    first_out: tuple[AlarmView, ...]
    called: tuple[AlarmView, ...]
    set_aside: tuple[AlarmView, ...]

    @property
    def annunciated(self) -> tuple[AlarmView, ...]:
        """All that call for somebody."""
        return self.first_out + self.called

    @property
    def all(self) -> tuple[AlarmView, ...]:
        """Everything in the order of the page."""
        return self.annunciated + self.set_aside


def arrange(alarms: Iterable[AlarmView]) -> Arranged:
    """Put the alarms that do not stand normal in order."""
    standing = [(int(alarm.standing), alarm) for alarm in alarms]
    set_aside = [alarm for flags, alarm in standing if flags & _SILENCED]
    called = [alarm for flags, alarm in standing if flags & _STANDS and not flags & _SILENCED]
    called.sort(key=lambda alarm: (alarm.raised_mono_ns, alarm.name))
    first_out = find_flood(called)
    names = {alarm.name for alarm in first_out}
    return Arranged(
        tuple(first_out),
        tuple(sorted((a for a in called if a.name not in names), key=_by_priority)),
        tuple(sorted(set_aside, key=_by_priority)),
    )


def _by_priority(alarm: AlarmView) -> tuple[int, int, str]:
    return alarm.priority, alarm.raised_mono_ns, alarm.name


def find_flood(called: Sequence[AlarmView]) -> Sequence[AlarmView]:
    """Return the first ten of the first flood among alarms in the order in which they came; none without a flood."""
    for first, eleventh in enumerate(range(FIRST_OUT, len(called))):
        if called[eleventh].raised_mono_ns - called[first].raised_mono_ns <= FLOOD_NS:
            return called[first:eleventh]
    return ()


def count_urgent(arranged: Arranged) -> int:
    """Count the alarms that call for somebody and that nobody has acknowledged."""
    unacknowledged = int(Standing.UNACKNOWLEDGED)
    return sum(int(alarm.standing) & unacknowledged != 0 for alarm in arranged.annunciated)


def actions_of(alarm: AlarmView) -> tuple[str, ...]:
    """Name what an operator may ask of an alarm as it stands."""
    standing = alarm.standing
    is_quiet = not standing & (Standing.ACTIVE | Standing.UNACKNOWLEDGED)
    is_out = Standing.OUT_OF_SERVICE in standing
    is_shelved = Standing.SHELVED in standing
    offered = {
        "acknowledge": Standing.UNACKNOWLEDGED in standing,
        "reset": Standing.LATCHED in standing and is_quiet,
        "shelve": alarm.shelve_most_h > 0 and not is_shelved and not is_out,
        "unshelve": is_shelved,
        "remove": not is_out,
        "restore": is_out,
    }
    return tuple(action for action, is_offered in offered.items() if is_offered)
