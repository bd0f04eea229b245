"""The gateway's own page as tests serve it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from edge.local import code as local_code
from edge.local.code import SiteCode
from edge.local.door import SiteDoor
from edge.local.server import LocalServer
from edge.local.site import Site
from edge.local.technician import Technician
from edge.local.workplace import Workplace
from edge.operating import OperationError


def hash_cheaply(code: str) -> SiteCode:
    """Hash a code. That is slow on purpose, and every test that signs in would pay for it."""
    with patch.object(local_code, "N", 16):
        return local_code.hash_code(code)


def make_server(
    site: Site,
    code: SiteCode,
    certificate: tuple[Path, Path] | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> LocalServer:
    """Make a server that is not started."""
    door = SiteDoor(code, now_s)
    return LocalServer(site, door, Technician(make_workplace(site), door), certificate)


def make_workplace(site: Site) -> Workplace:
    """Make a workplace on a site, where nothing is acquired and no output can be tried."""

    def refuse(name: str, _lasts_s: float) -> str:
        raise OperationError(f"there is no output '{name}'")

    return Workplace(site=site, look=tuple, lines=tuple, try_output=refuse, say=lambda _event, _detail: None)
