"""Strangers at the doors, a gateway's twin from a cloned disk, and messages of yesterday."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tomllib
import uuid
from collections.abc import Mapping
from functools import partial

import aiomqtt

from lab.gateway_side import GatewaySide
from lab.processes import Child, free_port, program
from lab.site_file import render
from tests.faults.scene import Fault, Scene
from tests.faults.verdict import count_raised

DRIPS = 40
FLOOD = 25
CLONE_ALARM = "fleet:clone"
TOLD_S = 60.0


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name. A clone needs a machine's name of its own, which only root can give it."""
    faults: dict[str, Fault] = {
        "same-client-flood": partial(_flood, scene),
        "hostile-messages": partial(_hostile, scene),
        "old-messages": partial(_old_messages, scene),
        "slow-loris": partial(_slow_loris, scene),
    }
    if os.geteuid() == 0 and shutil.which("unshare") is not None:
        faults["disk-cloned"] = partial(_cloned, scene)
    return faults


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
    scene.befallen.was_hostile = True
    side = scene.any_gateway
    name = side.station.gateway
    with contextlib.suppress(aiomqtt.MqttError):
        async with _client(scene, side) as client:
            for kind in ("hello", "batch", "live", "reported", "health", "nothing"):
                for octets in (b"", b"\x00", b"\x01\x28\xb5\x2f\xfd", scene.source.randbytes(300), b"\x09{}"):
                    await client.publish(f"fs/1/{name}/up/{kind}", octets, qos=0)
            await asyncio.sleep(0.5)


async def _old_messages(scene: Scene) -> None:
    """Everything that a gateway and the fleet said over two sessions comes once more, in its order."""
    fleet = scene.district.fleet
    settings = tomllib.loads(fleet.settings.read_text("utf-8"))
    side = scene.any_gateway
    service = aiomqtt.Client(
        "127.0.0.1",
        fleet.broker_port,
        username="fleet",
        password=settings["broker_password"],
        identifier="recorder",
        timeout=5.0,
    )
    async with service as client:
        await client.subscribe(f"fs/1/{side.station.gateway}/#", qos=1)
        for _ in range(2):
            side.link.cut()
            side.link.heal()
            await scene.pause(3, 5)
        for _ in range(len(client.messages)):
            message = await anext(client.messages)
            await client.publish(str(message.topic), message.payload, qos=1)


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


async def _cloned(scene: Scene) -> None:
    """A copy of a gateway's disk runs in another machine, far from the instruments, while the gateway runs on.

    The fleet must say so.
    """
    side = scene.quiet_gateway
    before = count_raised(scene.district.fleet.database_url, CLONE_ALARM)
    await side.agent.stop()
    folder = side.folder / "clone"
    shutil.copytree(side.folder / "data", folder / "data", ignore=shutil.ignore_patterns("lost+found", "ballast"))
    scene.befallen.has_lost_memory = True
    await side.start_agent()
    clone = await _start_clone(side)
    try:
        for _ in range(int(TOLD_S / 0.5)):
            if count_raised(scene.district.fleet.database_url, CLONE_ALARM) > before:
                break
            await asyncio.sleep(0.5)
        else:
            scene.fail(f"nobody tells that {side.station.gateway} is cloned")
    finally:
        await clone.kill()
        shutil.rmtree(folder)


async def _start_clone(side: GatewaySide) -> Child:
    folder = side.folder / "clone"
    places: dict[str, str | int] = {
        name: "/dev/null" if isinstance(place, str) else free_port() for name, place in side.station.places.items()
    }
    places |= {"broker": side.broker, "health_port": free_port(), "page_port": free_port()}
    text = render(side.station.gateway, places)
    config = folder / "clone.toml"
    config.write_text(text, "utf-8")
    for name in (f"{side.station.gateway}.token", "fleet-command.pub", "site.code"):
        shutil.copy2(side.folder / name, folder / name)
    mounts = []
    for number, path in enumerate(("/proc/sys/kernel/random/boot_id", "/etc/machine-id")):
        own = folder / f"id-{number}"
        own.write_text(f"{uuid.uuid4()}\n")
        mounts.append(f"mount --bind {own} {path}")
    clone = Child("the clone", folder.with_name("clone.log"))
    agent = [program("fengsui-edge"), "run", "--config", str(config), "--data", str(folder / "data")]
    await clone.start(["unshare", "--mount", "sh", "-c", f'{" && ".join(mounts)} && exec "$@"', "sh", *agent])
    return clone
