"""Opens what those on site use: the socket of the command line always, page and laptop's face where there is a code."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from edge.local.exchange import ON_SITE_SOCKET, SOCKET
from edge.local.settings import LocalSettings
from edge.local.socket import AlarmSocket, ConsoleSocket
from edge.local.workplace import Workplace


async def open_local(stack: AsyncExitStack, work: Workplace, settings: LocalSettings, data: Path, folder: Path) -> None:
    """Open all until the stack closes. ``data`` is the agent's folder, ``folder`` where the settings' paths start.

    Raises EdgeError if an address, the code or the certificate cannot be had.
    """
    alarms = AlarmSocket(work.site, data / SOCKET)
    await alarms.start()
    stack.push_async_callback(alarms.stop)
    if not settings.code_file:
        return
    from edge.local.code import read_code  # only a gateway with a site code has the memory for these
    from edge.local.door import SiteDoor
    from edge.local.technician import Technician

    door = SiteDoor(read_code(folder / settings.code_file))
    technician = Technician(work, door)
    stack.push_async_callback(technician.close)
    console = ConsoleSocket(technician, data / ON_SITE_SOCKET)
    await console.start()
    stack.push_async_callback(console.stop)
    if settings.address is None:
        return
    from edge.local.server import LocalServer

    certificate = (folder / settings.cert_file, folder / settings.key_file) if settings.cert_file else None
    server = LocalServer(work.site, door, technician, certificate)
    await server.start(*settings.address)
    stack.push_async_callback(server.stop)
