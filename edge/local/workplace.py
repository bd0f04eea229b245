"""What a technician works on: the running gateway, and what may be done to it on site."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from edge.local.site import Site
from provisioning.kit.documents import Bundle
from wire.checklist import Check


class Workplace(msgspec.Struct, kw_only=True):
    """What a technician works on. ``lines`` are the addresses that are acquired now; ``take`` takes a bundle and says
    for which gateway, None where there is no enrol.toml; ``say`` writes into lane A."""

    site: Site
    look: Callable[[], tuple[Check, ...]]
    lines: Callable[[], Collection[str]]
    try_output: Callable[[str, float], str]
    say: Callable[[str, str], None]
    take: Callable[[Bundle], str] | None = None
