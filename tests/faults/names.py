"""A name server of a gateway's own that stalls or lies. The agent runs where only it is asked. Needs root."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Mapping
from enum import Enum
from functools import partial
from typing import cast

from lab.gateway_side import GatewaySide
from tests.faults.scene import Fault, Scene

SERVER = "127.0.0.77"
NAME = "broker.fleet.example"
RIGHT, NOBODY = "127.0.0.1", "127.0.0.99"
"""Where the broker is, and where nobody listens."""
HEAD_OCTETS = 12
TYPE_A = b"\x00\x01"


class Answers(Enum):
    """What the server does with a question."""

    RIGHT = RIGHT
    LIES = NOBODY
    NONE = None


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name, where an agent can be given files of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return {}
    return {
        "names-stall": partial(_wrong, scene, Answers.NONE),
        "names-lie": partial(_wrong, scene, Answers.LIES),
    }


class NameServer(asyncio.DatagramProtocol):
    """Answers every question for an address with one, or not at all."""

    def __init__(self) -> None:
        self.answers = Answers.RIGHT
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to answer."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a question."""
        if self.answers.value is not None and self._transport is not None:
            self._transport.sendto(answer(data, self.answers.value), addr)


def answer(question: bytes, address: str) -> bytes:
    """Answer a question for an IPv4 address with one that may be kept for no time; any other with nothing."""
    end = question.index(b"\0", HEAD_OCTETS) + 5
    asked = question[HEAD_OCTETS:end]
    found = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + socket.inet_aton(address)
    records = found if asked[-4:-2] == TYPE_A else b""
    return question[:2] + b"\x81\x80\x00\x01" + bytes((0, bool(records))) + bytes(4) + asked + records


def _own_files(side: GatewaySide) -> tuple[str, ...]:
    """Give the words that run a program with this name server and no other source of names."""
    resolv, switch = side.folder / "resolv.conf", side.folder / "nsswitch.conf"
    resolv.write_text(f"nameserver {SERVER}\n")
    switch.write_text("hosts: dns\n")
    mounts = f"mount --bind {resolv} /etc/resolv.conf && mount --bind {switch} /etc/nsswitch.conf"
    return "unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"


async def _wrong(scene: Scene, answers: Answers) -> None:
    """The link breaks, and when it is there again the broker's name is not."""
    side = scene.any_gateway
    server = NameServer()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, (SERVER, 53))
    broker = side.broker
    side.broker = f"{NAME}:{broker.rpartition(':')[2]}"
    side.configure()
    try:
        async with scene.surroundings(side, *_own_files(side)):
            await scene.arrives(side)
            server.answers = answers
            side.link.cut()
            side.link.heal()
            await scene.pause(4, 8)
            await scene.must_go_on(side)
            server.answers = Answers.RIGHT
            await scene.arrives(side)
            side.broker = broker
            side.configure()
    finally:
        transport.close()
