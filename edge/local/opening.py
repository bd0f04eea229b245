"""Opens what those on site use: the socket of the command line always, the page where there is to be one."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from edge.local.exchange import SOCKET
from edge.local.settings import LocalSettings
from edge.local.site import Site
from edge.local.socket import AlarmSocket


async def open_local(stack: AsyncExitStack, site: Site, settings: LocalSettings, data: Path, folder: Path) -> None:
    """Open both until the stack closes. ``data`` is the agent's folder, ``folder`` where the settings' paths start.

    Raises EdgeError if an address, the code or the certificate cannot be had.
    """
    alarms = AlarmSocket(site, data / SOCKET)
    await alarms.start()
    stack.push_async_callback(alarms.stop)
    if settings.address is None:
        return
    from edge.local.code import read_code  # only a gateway with a page has the memory for one
    from edge.local.server import LocalServer

    certificate = (folder / settings.cert_file, folder / settings.key_file) if settings.cert_file else None
    server = LocalServer(site, read_code(folder / settings.code_file), certificate)
    await server.start(*settings.address)
    stack.push_async_callback(server.stop)
