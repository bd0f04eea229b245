"""Byte lines to instruments: TCP and serial port. Nothing here knows a protocol; `drivers.replay` is the fake.

    line = open_line(settings)        tcp://host:port, serial:///dev/ttyUSB0
    await line.open()
    await line.write(request)
    data = await line.read()          whatever has arrived, at least one octet

All lines behave alike: `read` may be cancelled without losing octets, and a line that fails or is closed wakes its
reader with LinkError.
"""

from drivers.transport.address import make_line, open_line
from drivers.transport.base import Transport
from drivers.transport.inbox import HELD_OCTETS, Inbox
from drivers.transport.serial_port import Serial
from drivers.transport.settings import Baud, LineSettings
from drivers.transport.tcp import OPEN_S, UNACKNOWLEDGED_MS, Tcp

__all__ = (
    "HELD_OCTETS", "OPEN_S", "UNACKNOWLEDGED_MS", "Baud", "Inbox", "LineSettings", "Serial", "Tcp", "Transport",
    "make_line", "open_line",
)  # fmt: skip
