"""What a gateway has checked of itself while it is being provisioned: sent as it happens, shown to the technician."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

CHECKS_MOST = 256
TEXT_MOST = 200

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MOST)]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that has to work.

    ``kind`` is ``clock``, ``dns``, ``tls``, ``bus``, ``device`` or ``output``; ``subject`` names the bus, device or
    output. ``state`` is ``done``, ``failed``, or ``waiting`` where it was not tried yet. ``fault`` is the name of a
    failure, as docs/operate/commissioning.md lists them; ``detail`` is what was measured, or the driver's own words.
    """

    kind: Annotated[str, msgspec.Meta(max_length=32)]
    subject: Text = ""
    title: Text = ""
    state: Literal["waiting", "done", "failed"]
    fault: Annotated[str, msgspec.Meta(max_length=64)] = ""
    detail: Text = ""


class Checklist(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of a gateway, whenever one of them has changed. Sent at QoS 0, never counted; the newest counts."""

    checks: Annotated[tuple[Check, ...], msgspec.Meta(max_length=CHECKS_MOST)]
