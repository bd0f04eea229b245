"""Mandates: what the fleet orders a gateway for a bounded time, by the commands `raise` and `hurry`.

Each ends by itself on the gateway, whatever becomes of the link. A drill is judged and answered like the real thing,
and changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

RAISE: Literal["raise"] = "raise"
HURRY: Literal["hurry"] = "hurry"
"""The names of the commands."""
GROUPS_MOST = 64
HURRY_MOST_S = 86_400
"""So long groups are read more densely by one command."""
Why = Annotated[str, Meta(max_length=200)]


class RaiseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of `raise`: an alarm of level ``commanded`` holds from now on, or no longer.

    How long it holds says the gateway's configuration (``lasts_s`` of the alarm); a further command begins that anew.
    ``why`` is for people.
    """

    alarm: Annotated[str, Meta(min_length=1, max_length=256)]
    holds: bool = True
    why: Why = ""
    drill: bool = False


class HurryRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arguments of `hurry`: read ``groups`` every ``every_s`` for ``lasts_s``; 0 ends it now.

    A group is called ``<device>.<group>``; a device's name stands for all its groups.
    """

    groups: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=129)], ...], Meta(min_length=1, max_length=GROUPS_MOST)
    ]
    every_s: Annotated[float, Meta(ge=0.01, le=86_400)]
    lasts_s: Annotated[float, Meta(ge=0, le=HURRY_MOST_S)]
    why: Why = ""
    drill: bool = False
