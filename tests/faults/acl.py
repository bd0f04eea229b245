"""Every gateway against every other's topics, at the embedded broker and at Mosquitto, by certificates of the fleet's.

A gateway may write below its own ``up`` and read below its own ``down``; all else must neither arrive nor be told. What
arrived is judged by what was sent: no rule of the product is asked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiomqtt
import msgspec

from fleet.bootstrap import Services, bootstrap
from fleet.certificates import service as certificates
from fleet.gateways import service as gateways
from fleet.settings import Settings, load
from lab.errors import LabError
from lab.fleet_side import FleetSide
from lab.processes import Child, free_port, program
from provisioning import authority
from provisioning.keys import PUBLIC, dump_key, make_key, write_file
from tests.faults.scene import say
from tests.servers import find_mosquitto, wait_for_port

ACL = "acl"
GATEWAYS = 100
UP_S, WITHIN_S, SETTLE_S, LOOK_S = 30.0, 30.0, 1.5, 0.1
GREEDY = ("#", "fs/#", "+/#", "fs/1/+/down/+", "fs/1/+/up/+", "$share/all/fs/#", "$SYS/#")
"""Filters that would tell a gateway what is another's."""


class Findings(msgspec.Struct, kw_only=True):
    """What went wrong. ``tried`` are writes and reads, each pair of gateways both ways."""

    tried: int = 0
    allowed_that_must_not: int = 0
    refused_that_must_not: int = 0

    def add(self, other: Findings) -> None:
        """Add what another broker did."""
        self.tried += other.tried
        self.allowed_that_must_not += other.allowed_that_must_not
        self.refused_that_must_not += other.refused_that_must_not


async def try_brokers(folder: Path, count: int) -> Findings:
    """Try all pairs of ``count`` gateways at each broker that is here."""
    total = Findings()
    for name in ("", *(["mosquitto"] if find_mosquitto() else [])):
        async with _broker(folder / (name or "own") / "fleet", name, count) as (services, names):
            findings = await _try_pairs(services, names)
        say(f"{name or 'the embedded broker'}, {count} gateways: {msgspec.json.encode(findings).decode()}")
        total.add(findings)
    return total


@asynccontextmanager
async def _broker(folder: Path, broker_program: str, count: int) -> AsyncIterator[tuple[Services, Sequence[str]]]:
    """Run a broker of a fleet that has given certificates to its gateways, beside it as ``<name>.pem`` and ``.key``."""
    folder.parent.mkdir()
    fleet = FleetSide(folder)
    await fleet.init()
    await fleet.found_authority()
    plain, secure = free_port(), free_port()
    with fleet.settings.open("a", encoding="utf-8") as settings:
        settings.write(f'mqtt = "127.0.0.1:{plain}"\nmqtts = "127.0.0.1:{secure}"\n')
        settings.write(f'broker_program = "{broker_program}"\n' if broker_program else "")
    services = bootstrap(load(folder))
    names = [f"gw-matrix-{number:04d}" for number in range(count)]
    for name in names:
        _certify(services, folder, name)
    (folder / "root.pem").write_bytes(authority.to_pem([services.authority.services.root]))
    child = Child("the broker", folder.with_suffix(".log"))
    await child.start([program("fengsui-fleet"), "broker", "--data", str(folder)])
    try:
        for port in (secure, plain):  # a broker opens one after the other
            await asyncio.to_thread(wait_for_port, port, UP_S)
        yield services, names
    finally:
        await child.stop()
        services.close()


def _certify(services: Services, folder: Path, name: str) -> None:
    key = make_key()
    with services.database.writing() as session:
        gateways.register(session, name, "", None, services.clock())
        row = certificates.issue(session, services.authority, name, key.public_key(), services.clock())
        write_file(folder / f"{name}.pem", row.pem.encode(), PUBLIC)
    write_file(folder / f"{name}.key", dump_key(key))


def _as_gateway(settings: Settings, name: str) -> aiomqtt.Client:
    context = ssl.create_default_context(cafile=settings.data_dir / "root.pem")
    context.load_cert_chain(settings.data_dir / f"{name}.pem", settings.data_dir / f"{name}.key")
    host, port = settings.mqtts.split(":")
    return aiomqtt.Client(
        host, int(port), identifier=name, tls_context=context, timeout=WITHIN_S,
        protocol=aiomqtt.ProtocolVersion.V311, clean_session=True,
    )  # fmt: skip


def _as_service(settings: Settings) -> aiomqtt.Client:
    host, port, _ = settings.broker()
    return aiomqtt.Client(
        host, port, identifier="fleet:matrix", username=settings.broker_user, password=settings.broker_password,
        protocol=aiomqtt.ProtocolVersion.V311, clean_session=True, timeout=WITHIN_S,
    )  # fmt: skip


async def _try_pairs(services: Services, names: Sequence[str]) -> Findings:
    writes = await _try_writes(services.settings, names)
    reads = await _try_reads(services.settings, names)
    writes.add(reads)
    return writes


async def _try_writes(settings: Settings, names: Sequence[str]) -> Findings:
    """Have each gateway write to every other's topics and to its own ``down``; the fleet's programs note what comes."""
    arrived: set[tuple[str, str]] = set()
    rightful = {(f"fs/1/{name}/up/hello", name) for name in names}
    async with AsyncExitStack() as stack, _as_service(settings) as fleet:
        await fleet.subscribe("fs/#", qos=1)
        noting = asyncio.create_task(_note(fleet, arrived))
        stack.callback(noting.cancel)
        for name in names:
            await _write_everywhere(await stack.enter_async_context(_as_gateway(settings, name)), name, names)
        await _until(lambda: rightful <= arrived)
    return Findings(
        tried=2 * len(names) ** 2,
        allowed_that_must_not=len(arrived - rightful),
        refused_that_must_not=len(rightful - arrived),
    )


async def _until(is_there: Callable[[], bool]) -> None:
    """Wait for what must come, then for what must not."""
    for _ in range(int(WITHIN_S / LOOK_S)):
        if is_there():
            break
        await asyncio.sleep(LOOK_S)
    await asyncio.sleep(SETTLE_S)


async def _note(listener: aiomqtt.Client, arrived: set[tuple[str, str]]) -> None:
    async for message in listener.messages:
        assert isinstance(message.payload, bytes)
        arrived.add((str(message.topic), message.payload.decode()))


async def _write_everywhere(gateway: aiomqtt.Client, name: str, names: Sequence[str]) -> None:
    """Write one's name to all topics, and to one's own at the end: all before it was then taken, or refused.

    It stays connected meanwhile: the embedded broker drops what it has not handed on of who leaves.
    """
    own = f"fs/1/{name}/up/hello"
    for topic in (topic for other in names for topic in _topics_of(other) if topic != own):
        await gateway.publish(topic, name, qos=0)
    await gateway.publish(own, name, qos=1, timeout=WITHIN_S)


def _topics_of(name: str) -> tuple[str, str]:
    return f"fs/1/{name}/up/hello", f"fs/1/{name}/down/command"


async def _try_reads(settings: Settings, names: Sequence[str]) -> Findings:
    """Have each gateway ask for every other's messages; then send each gateway one."""
    heard: dict[str, set[tuple[str, str]]] = {name: set() for name in names}
    rightful = {name: {(f"fs/1/{name}/down/greet", name)} for name in names}
    async with AsyncExitStack() as stack, _as_service(settings) as fleet:
        for name in names:
            await _listen(stack, settings, name, names, heard[name])
        for name in names:
            await fleet.publish(f"fs/1/{name}/down/greet", name, qos=1)
        await _until(lambda: all(rightful[name] <= heard[name] for name in names))
    return Findings(
        tried=len(names) ** 2,
        allowed_that_must_not=sum(len(heard[name] - rightful[name]) for name in names),
        refused_that_must_not=sum(len(rightful[name] - heard[name]) for name in names),
    )


async def _listen(
    stack: AsyncExitStack, settings: Settings, name: str, names: Sequence[str], heard: set[tuple[str, str]]
) -> None:
    """Ask for everything. Raises LabError if the broker ends the connection for that."""
    try:
        gateway = await stack.enter_async_context(_as_gateway(settings, name))
        for wanted in (*GREEDY, *(f"fs/1/{other}/down/+" for other in names)):
            with suppress(aiomqtt.MqttCodeError):  # refused, in so many words
                await gateway.subscribe(wanted, qos=1, timeout=WITHIN_S)
    except aiomqtt.MqttError as error:
        raise LabError(f"{name} was thrown out for what it asked to read: {error}") from error
    task = asyncio.create_task(_note(gateway, heard))
    stack.callback(task.cancel)
