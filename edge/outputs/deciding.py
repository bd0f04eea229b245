"""What holds an output on, and the turns of its pulses. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from edge.output_settings import Hold
from wire.alarm import SILENCED, Standing

HOLDING: Mapping[Hold, Standing] = {
    "active": Standing.ACTIVE | Standing.LATCHED,
    "acknowledged": Standing.UNACKNOWLEDGED,
    "normal": Standing.ACTIVE | Standing.LATCHED | Standing.UNACKNOWLEDGED,
}
"""Any of which in an alarm's standing keeps an output on."""
CALLS = Standing.ACTIVE | Standing.UNACKNOWLEDGED
"""What an alarm gains when it is raised or reminded."""


def is_held(hold: Hold, standings: Mapping[str, Standing]) -> bool:
    """Tell whether any of the alarms holds an output on. One that is set aside or suppressed holds none."""
    return any(holds(hold, standing) for standing in standings.values())


def holds(hold: Hold, standing: Standing) -> bool:
    """Tell whether an alarm that stands so holds an output on."""
    return bool(standing & HOLDING[hold]) and not standing & SILENCED


def calls_anew(hold: Hold, before: Standing, after: Standing) -> bool:
    """Tell whether a pulse begins again: the alarm begins to hold the output, or is raised or reminded anew."""
    return holds(hold, after) and (not holds(hold, before) or bool(after & ~before & CALLS))


def find_turn(pulse_s: float | None, pause_s: float | None, elapsed_s: float) -> tuple[bool, float | None]:
    """Find what an output is, so long after it went on: whether on, and for how many seconds more, None for good."""
    if pulse_s is None:
        return True, None
    if pause_s is None:
        return (True, pulse_s - elapsed_s) if elapsed_s < pulse_s else (False, None)
    turn_s = elapsed_s % (pulse_s + pause_s)
    return (True, pulse_s - turn_s) if turn_s < pulse_s else (False, pulse_s + pause_s - turn_s)
