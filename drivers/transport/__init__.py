"""Byte lines to instruments, one file per kind of line. Nothing here knows a protocol; `drivers.replay` is the fake.

    line = open_line(settings)        tcp://host:port, serial:///dev/serial/by-id/... and others, see `LineSettings.url`
    await line.open()
    await line.write(request)
    data = await line.read()          whatever has arrived, at least one octet; of UDP one datagram

All lines behave alike: `read` may be cancelled without losing octets, and a line that fails or is closed wakes its
reader with LinkError.
"""

from drivers.transport.address import make_line, open_line
from drivers.transport.base import Transport
from drivers.transport.inbox import HELD_OCTETS, Inbox, Pieces
from drivers.transport.listener import Listener
from drivers.transport.serial_port import Serial
from drivers.transport.settings import Baud, LineSettings
from drivers.transport.tcp import Tcp
from drivers.transport.udp import HELD_DATAGRAMS, Udp

__all__ = (
    "HELD_DATAGRAMS", "HELD_OCTETS", "Baud", "Inbox", "LineSettings", "Listener", "Pieces", "Serial", "Tcp",
    "Transport", "Udp", "make_line", "open_line",
)  # fmt: skip
