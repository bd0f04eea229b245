"""A line of IP packets between a gateway and its broker, on which they are lost, late, out of order, or one way only.

    agent  ->  10.213.0.2:port  ->  tun  ->  here  ->  tun  ->  10.213.0.1:port  ->  the gateway's link  ->  broker

Both ends are this machine: each packet gets source and destination exchanged, which leaves its checksums right, and so
comes back as the other end's. Needs root.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from lab.gateway_side import GatewaySide
from lab.processes import run_once
from tests.faults.scene import Fault, Scene

TUN = Path("/dev/net/tun")
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
NAME = "faults0"
NEAR, FAR = "10.213.0.1", "10.213.0.2"
MTU = 1500
ADDRESSES, DESTINATION_PORT = slice(12, 20), slice(22, 24)


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name, where such a line can be laid."""
    if not TUN.exists() or os.geteuid() != 0:
        return {}
    return {
        "packets-lost": partial(_troubled, scene, Trouble(up_loss=0.2, down_loss=0.2)),
        "packets-late": partial(_troubled, scene, Trouble(late_s=0.6)),
        "one-way-up-lost": partial(_troubled, scene, Trouble(up_loss=1.0)),
        "one-way-down-lost": partial(_troubled, scene, Trouble(down_loss=1.0)),
    }


class Trouble:
    """What happens to packets: shares that are lost, by direction, and the most by which one is late.

    Each is late by a time of its own, so that they overtake each other.
    """

    def __init__(self, *, up_loss: float = 0.0, down_loss: float = 0.0, late_s: float = 0.0) -> None:
        self.up_loss = up_loss
        self.down_loss = down_loss
        self.late_s = late_s


class PacketLine:
    """Carries packets while it is open. ``trouble`` may be changed at any time."""

    def __init__(self, port: int, source: random.Random) -> None:
        self._port = port
        self._source = source
        self._tun = -1
        self.trouble = Trouble()

    async def open(self) -> None:
        """Lay the line. Raises LabError or OSError."""
        self._tun = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(self._tun, TUNSETIFF, struct.pack("16sH22x", NAME.encode(), IFF_TUN | IFF_NO_PI))
        await run_once(["ip", "addr", "add", NEAR, "peer", FAR, "dev", NAME])
        await run_once(["ip", "link", "set", NAME, "up", "mtu", str(MTU)])
        asyncio.get_running_loop().add_reader(self._tun, self._carry)

    def close(self) -> None:
        """Take it away: the kernel does so with its descriptor."""
        asyncio.get_running_loop().remove_reader(self._tun)
        os.close(self._tun)
        self._tun = -1

    def _carry(self) -> None:
        with suppress(BlockingIOError):
            while packet := os.read(self._tun, MTU + 4):
                self._treat(packet)

    def _treat(self, packet: bytes) -> None:
        if packet[0] >> 4 != 4:
            return
        is_up = int.from_bytes(packet[DESTINATION_PORT]) == self._port
        if self._source.random() < (self.trouble.up_loss if is_up else self.trouble.down_loss):
            return
        octets = packet[ADDRESSES]
        turned = packet[:12] + octets[4:] + octets[:4] + packet[20:]
        late_s = self._source.uniform(0, self.trouble.late_s)
        if late_s:
            asyncio.get_running_loop().call_later(late_s, self._deliver, turned)
        else:
            self._deliver(turned)

    def _deliver(self, packet: bytes) -> None:
        if self._tun >= 0:
            with suppress(BlockingIOError):
                os.write(self._tun, packet)


@asynccontextmanager
async def _line(scene: Scene, side: GatewaySide) -> AsyncIterator[PacketLine]:
    """Run an agent behind such a line, and as before afterwards."""
    broker = side.broker
    line = PacketLine(int(broker.rpartition(":")[2]), scene.source)
    await line.open()
    try:
        await side.link.listen(NEAR)
        side.broker = FAR + ":" + broker.rpartition(":")[2]
        side.configure()
        async with scene.surroundings(side):
            yield line
            side.broker = broker
            side.configure()
    finally:
        line.close()


async def _troubled(scene: Scene, trouble: Trouble) -> None:
    side = scene.any_gateway
    async with _line(scene, side) as line:
        await scene.arrives(side)
        line.trouble = trouble
        await scene.pause(6, 12)
        line.trouble = Trouble()
        await scene.arrives(side)
