"""How an alarm stands: the states of ISA-18.2 / IEC 62682, and the names that OPC UA Part 9 gives them.

A gateway decides; what it decided travels whole in every record of lane A that changes an alarm (`wire.record`), so
that whoever reads the newest record knows all there is to know, whatever came before it.
"""

from __future__ import annotations

from enum import IntFlag, StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class Standing(IntFlag):
    """An alarm's independent conditions; 0 is normal. Bits are never given another meaning.

    ``ACTIVE``: its condition holds. ``UNACKNOWLEDGED``: nobody has acknowledged this occurrence. ``LATCHED``: it stays
    an alarm though its condition no longer holds, until it is reset. ``SHELVED``: set aside by an operator until an
    end; with ``ONE_SHOT`` until it clears. ``SUPPRESSED``: by design, because of another alarm. ``OUT_OF_SERVICE``:
    taken out by an operator until restored. The last three are judged and recorded, but not annunciated.
    """

    ACTIVE = 1
    UNACKNOWLEDGED = 2
    LATCHED = 4
    SHELVED = 8
    ONE_SHOT = 16
    SUPPRESSED = 32
    OUT_OF_SERVICE = 64


SILENCED = Standing.SHELVED | Standing.SUPPRESSED | Standing.OUT_OF_SERVICE
"""An alarm that stands in any of these switches no output and calls nobody."""


class State(StrEnum):
    """The states of ISA-18.2 (IEC 62682:2014, figure 3), one of which every alarm is in."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned-unacknowledged"
    LATCHED_UNACKNOWLEDGED = "latched-unacknowledged"
    LATCHED_ACKNOWLEDGED = "latched-acknowledged"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed-by-design"
    OUT_OF_SERVICE = "out-of-service"


_ANNUNCIATED = {
    # active or latched, unacknowledged
    (Standing.ACTIVE, True): State.UNACKNOWLEDGED,
    (Standing.ACTIVE, False): State.ACKNOWLEDGED,
    (Standing.LATCHED, True): State.LATCHED_UNACKNOWLEDGED,
    (Standing.LATCHED, False): State.LATCHED_ACKNOWLEDGED,
    (Standing(0), True): State.RETURNED,
    (Standing(0), False): State.NORMAL,
}
_SET_ASIDE = (
    (Standing.OUT_OF_SERVICE, State.OUT_OF_SERVICE),
    (Standing.SHELVED, State.SHELVED),
    (Standing.SUPPRESSED, State.SUPPRESSED),
)


def state_of(standing: Standing) -> State:
    """Name the one state of ISA-18.2 that an alarm is in."""
    for flag, state in _SET_ASIDE:
        if flag in standing:
            return state
    part = Standing.ACTIVE if Standing.ACTIVE in standing else standing & Standing.LATCHED
    return _ANNUNCIATED[part, Standing.UNACKNOWLEDGED in standing]


class OpcUa(msgspec.Struct, frozen=True, rename="pascal"):
    """The same in the names of OPC UA Part 9 (AlarmConditionType). ``shelving_state`` is Unshelved, TimedShelved or
    OneShotShelved."""

    active_state: bool
    acked_state: bool
    latched_state: bool
    suppressed_state: bool
    out_of_service_state: bool
    shelving_state: str


def in_opc_ua(standing: Standing) -> OpcUa:
    """Say how an alarm stands in the names of OPC UA."""
    shelving = "OneShotShelved" if Standing.ONE_SHOT in standing else "TimedShelved"
    return OpcUa(
        active_state=Standing.ACTIVE in standing,
        acked_state=Standing.UNACKNOWLEDGED not in standing,
        latched_state=Standing.LATCHED in standing,
        suppressed_state=Standing.SUPPRESSED in standing,
        out_of_service_state=Standing.OUT_OF_SERVICE in standing,
        shelving_state=shelving if Standing.SHELVED in standing else "Unshelved",
    )


RAISED, CLEARED = "raised", "cleared"
"""Changes that an `AlarmRecord` tells: the condition began to hold, or ceased to."""
CHANGES = (
    "acknowledged",
    "reset",
    "shelved",
    "unshelved",
    "removed",
    "restored",
    "suppressed",
    "unsuppressed",
    "reminded",
)
"""Changes that a `StandingRecord` tells. ``removed``: out of service; ``restored``: in service again; ``reminded``: the
re-alarm time is over, and it is unacknowledged again."""


def standing_after(change: str, standing: int) -> Standing:
    """How an alarm stands after a record. One of an early release does not say: what was raised is unacknowledged."""
    if not standing and change == RAISED:
        return Standing.ACTIVE | Standing.UNACKNOWLEDGED
    return Standing(standing)


ACTIONS = ("acknowledge", "reset", "shelve", "unshelve", "remove", "restore")
"""What an operator may ask for. As a command of the fleet each is called ``alarm-<action>``."""
SHELVE_MOST_MINUTES = 7 * 1440


class AlarmRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of a command ``alarm-<action>``, and of the same request made on the gateway's own page.

    ``occurrence`` names what the operator saw (`wire.record.AlarmRecord.occurrence`): an alarm that was raised anew
    meanwhile is not acknowledged by it. 0: whichever it is. ``minutes`` is for ``shelve``: how long, 0 until it clears.
    """

    alarm: Annotated[str, Meta(min_length=1, max_length=256)]
    occurrence: int = 0
    minutes: Annotated[float, Meta(ge=0, le=SHELVE_MOST_MINUTES)] = 0.0
    comment: Annotated[str, Meta(max_length=500)] = ""
