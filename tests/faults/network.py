"""Links cut, held and thin; strangers at the doors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial

import aiomqtt

from lab.gateway_side import GatewaySide
from tests.faults.scene import Fault, Scene

THIN_OCTETS_PER_S = 4000.0
DRIPS = 40
FLOOD = 25


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name."""
    return {
        "cut-link": partial(_cut, scene),
        "half-open": partial(_half_open, scene),
        "answers-lost": partial(_answers_lost, scene),
        "uploads-lost": partial(_uploads_lost, scene),
        "thin-link": partial(_thin, scene),
        "same-client-flood": partial(_flood, scene),
        "hostile-messages": partial(_hostile, scene),
        "slow-loris": partial(_slow_loris, scene),
    }


async def _cut(scene: Scene) -> None:
    link = scene.any_gateway.link
    link.cut()
    await scene.pause(1, 12)
    link.heal()


async def _half_open(scene: Scene) -> None:
    """Nothing passes and nobody is told; then all that was held arrives late, or the connection breaks."""
    link = scene.any_gateway.link
    link.up.hold()
    link.down.hold()
    await scene.pause(2, 12)
    if scene.source.random() < 0.5:
        link.cut()
    link.heal()


async def _answers_lost(scene: Scene) -> None:
    """The fleet commits; its acks are held, then the connection breaks."""
    link = scene.any_gateway.link
    link.down.hold()
    await scene.pause(2, 10)
    link.cut()
    link.heal()


async def _uploads_lost(scene: Scene) -> None:
    link = scene.any_gateway.link
    link.up.hold()
    await scene.pause(2, 10)
    link.cut()
    link.heal()


async def _thin(scene: Scene) -> None:
    link = scene.any_gateway.link
    link.up.octets_per_s = THIN_OCTETS_PER_S
    await scene.pause(4, 12)
    link.heal()


def _client(scene: Scene, side: GatewaySide) -> aiomqtt.Client:
    """A client under a gateway's identity."""
    name = side.station.gateway
    token = (side.folder / f"{name}.token").read_text("ascii").strip()
    port = scene.district.fleet.broker_port
    return aiomqtt.Client("127.0.0.1", port, username=name, password=token, identifier=name, timeout=5.0)


async def _flood(scene: Scene) -> None:
    """Somebody connects as the gateway, again and again."""
    side = scene.any_gateway
    for _ in range(FLOOD):
        with contextlib.suppress(aiomqtt.MqttError):
            async with _client(scene, side):
                await asyncio.sleep(0.02)


async def _hostile(scene: Scene) -> None:
    """Somebody with the gateway's own token sends what is no message, on every topic that it may use."""
    side = scene.any_gateway
    name = side.station.gateway
    with contextlib.suppress(aiomqtt.MqttError):
        async with _client(scene, side) as client:
            for kind in ("hello", "batch", "live", "reported", "health", "nothing"):
                for octets in (b"", b"\x00", b"\x01\x28\xb5\x2f\xfd", scene.source.randbytes(300), b"\x09{}"):
                    await client.publish(f"fs/1/{name}/up/{kind}", octets, qos=0)
            await asyncio.sleep(0.5)


async def _slow_loris(scene: Scene) -> None:
    """Many connections to the broker and to the console that never finish what they begin."""
    port = int(scene.district.fleet.console_url.rstrip("/").rpartition(":")[2])
    doors = [scene.district.fleet.broker_port, port]
    await asyncio.gather(*(_drip(doors[number % 2]) for number in range(DRIPS)))


async def _drip(port: int) -> None:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for octet in b"GET / HT":
                writer.write(bytes((octet,)))
                await writer.drain()
                await asyncio.sleep(0.7)
        finally:
            writer.transport.abort()
