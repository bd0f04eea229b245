"""Updates: which release the fleet wants on a gateway, and how far the gateway has come with it (docs/adr/0019).

    fleet -> target     offered again until the action is closed, to gateways that report they install its kind
    edge  -> progress   the answer to each offer, and whenever something changes; the newest counts

A target only names a release. What may run is decided on the gateway, by signatures that the fleet cannot make.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wire.conversation import Text, Word

DETAIL_MOST = 500

Kind = Literal["agent", "profiles"]
Step = Literal[
    "waiting",
    "downloading",
    "verified",
    "installed",
    "trying",
    "confirmed",
    "failed",
    "rolled-back",
    "inconclusive",
    "refused",
    "cancelled",
]
"""How far an update is. ``waiting``: taken, begins later; ``installed``: in the inactive slot, not yet run; ``trying``:
runs on trial; ``confirmed``: runs, and was found well; ``failed``: nothing was changed; ``rolled-back``: the version
before runs again; ``inconclusive``: likewise, but because the fleet could not be reached, which says nothing of the
release; ``refused``: not tried, because the gateway must not or cannot take it; ``cancelled``: called off in time."""
ENDS: frozenset[str] = frozenset({"confirmed", "failed", "rolled-back", "inconclusive", "refused", "cancelled"})
"""Steps after which a gateway does nothing more about an action."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway shall install. ``action`` is unique for ever.

    ``until_ns`` is the end of the maintenance window in UTC: after it no version is changed any more; None for no end.
    ``budget_bytes_per_s`` bounds the download, 0 for no bound. ``is_cancelled``: forget it, unless it runs already.
    ``attempt`` counts from 1: an end of an earlier attempt is no end of this one.
    """

    action: Word
    kind: Kind
    version: Text
    attempt: Annotated[int, Meta(ge=1)] = 1
    until_ns: int | None = None
    budget_bytes_per_s: Annotated[int, Meta(ge=0)] = 0
    is_cancelled: bool = False


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an action is on a gateway. ``detail`` says why, in words for people; ``done`` of ``of`` octets."""

    action: Word
    kind: Kind
    version: Text
    attempt: Annotated[int, Meta(ge=1)] = 1
    step: Step
    detail: Annotated[str, Meta(max_length=DETAIL_MOST)] = ""
    done: Annotated[int, Meta(ge=0)] = 0
    of: Annotated[int, Meta(ge=0)] = 0
    at_ns: int | None = None
