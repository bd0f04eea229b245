"""Decide on the fleet's own alarms: what a condition or an operator makes of how one stands. Pure.

The same rules as a gateway's (docs/understand/alarms.md): there is no latch and no suppression among the fleet's own.
"""

from __future__ import annotations

import msgspec

from fleet.errors import ConflictError, InvalidError
from wire.alarm import AlarmRequest, Standing

MINUTE_NS = 60_000_000_000
SHELVE_MOST_H = 24.0
"""How long one of the fleet's own may be shelved at once."""
SHELVE_MOST_NS = int(SHELVE_MOST_H * 60 * MINUTE_NS)
NOTHING = Standing(0)
SHELVING = Standing.SHELVED | Standing.ONE_SHOT


class Stand(msgspec.Struct, frozen=True):
    """How an alarm stands: its flags, which occurrence it is, and when its shelving ends (UTC in ns)."""

    standing: Standing = NOTHING
    occurrence: int = 0
    until_ns: int | None = None


def raise_it(stand: Stand, now_ns: int) -> Stand:
    """Its condition began to hold: another occurrence, which nobody has acknowledged."""
    raised = stand.standing | Standing.ACTIVE | Standing.UNACKNOWLEDGED
    return Stand(raised, max(now_ns, stand.occurrence + 1), stand.until_ns)


def clear_it(stand: Stand) -> Stand:
    """Its condition ceased to hold; a shelving until it clears ends with it."""
    left = stand.standing & ~Standing.ACTIVE
    if Standing.ONE_SHOT in left:
        return Stand(left & ~SHELVING, stand.occurrence)
    return Stand(left, stand.occurrence, stand.until_ns)


def operate(stand: Stand, action: str, request: AlarmRequest, now_ns: int) -> tuple[str, Stand] | None:
    """Return what an operator's request changes, and how the alarm stands then; None if it does so already.

    Raises ConflictError if the alarm does not take this now, InvalidError if the request asks for too much.
    """
    if request.occurrence not in (0, stand.occurrence):
        raise ConflictError("the alarm was raised anew meanwhile", hint="look at it again")
    if action == "shelve":
        return "shelved", _shelve(stand, request, now_ns)
    if action not in _CHANGES:
        raise ConflictError("an alarm of the fleet's own does not latch, so there is nothing to reset")
    change, taken, given = _CHANGES[action]
    standing = (stand.standing & ~taken) | given
    if standing == stand.standing:
        return None
    until_ns = stand.until_ns if Standing.SHELVED in standing else None
    return change, Stand(standing, stand.occurrence, until_ns)


_CHANGES = {
    # action: the change, the flags taken and those given
    "acknowledge": ("acknowledged", Standing.UNACKNOWLEDGED, NOTHING),
    "unshelve": ("unshelved", SHELVING, NOTHING),
    "remove": ("removed", NOTHING, Standing.OUT_OF_SERVICE),
    "restore": ("restored", Standing.OUT_OF_SERVICE, NOTHING),
}


def _shelve(stand: Stand, request: AlarmRequest, now_ns: int) -> Stand:
    if request.minutes > SHELVE_MOST_H * 60:
        raise InvalidError(f"the alarm may be shelved for {SHELVE_MOST_H:g} h at once", hint="choose an earlier end")
    flags = Standing.SHELVED if request.minutes else SHELVING
    until_ns = now_ns + int(request.minutes * MINUTE_NS) if request.minutes else None
    return Stand((stand.standing & ~SHELVING) | flags, stand.occurrence, until_ns)


def end_shelving(stand: Stand, now_ns: int) -> Stand | None:
    """Return how an alarm stands once its shelving is over; None while it is not.

    One that would go on for longer than it may is over: the clock has gone back since.
    """
    if Standing.SHELVED not in stand.standing or stand.until_ns is None:
        return None
    if now_ns < stand.until_ns <= now_ns + SHELVE_MOST_NS:
        return None
    return Stand(stand.standing & ~SHELVING, stand.occurrence)
