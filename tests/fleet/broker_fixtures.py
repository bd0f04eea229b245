"""Brokers to test against: our own in a process of its own, and Mosquitto where it is installed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiomqtt
import msgspec

from fleet.bootstrap import Services
from fleet.broker import LOOK_EVERY_S
from fleet.settings import Settings, save
from tests.servers import free_port, wait_for_port


@contextmanager
def own_broker(settings: Settings, look_every_s: float = LOOK_EVERY_S) -> Iterator[Settings]:
    """Run `fengsui-fleet broker` as `serve` does."""
    save(settings)
    program = f"from fleet import broker, cli; broker.LOOK_EVERY_S = {look_every_s}; raise SystemExit(cli.main())"
    words = ["broker", "--data", str(settings.data_dir), "--mqtt", settings.mqtt]
    with _running([sys.executable, "-c", program, *words], settings):
        yield settings


@contextmanager
def mosquitto(settings: Settings, tokens: dict[str, str]) -> Iterator[Settings]:
    """Run Mosquitto with the rules of docs/operate/broker.md. It must be told the tokens."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    folder = settings.data_dir / "mosquitto"
    folder.mkdir()
    host, port = settings.mqtt.split(":")
    passwords, acl, config = folder / "passwords", folder / "acl", folder / "mosquitto.conf"
    passwords.touch(mode=0o600)
    for user, secret in {settings.broker_user: settings.broker_password, **tokens}.items():
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, secret], check=True, capture_output=True)
    own = f"user {settings.broker_user}\ntopic readwrite fs/#\n"
    acl.write_text(f"{own}\npattern write fs/1/%u/up/#\npattern read fs/1/%u/down/#\n")
    config.write_text(
        f"listener {port} {host}\nallow_anonymous false\nuser root\npassword_file {passwords}\nacl_file {acl}\n"
    )
    external = msgspec.structs.replace(settings, broker_url=f"mqtt://{settings.mqtt}")
    with _running([program, "-c", str(config)], external):
        yield external


@contextmanager
def _running(command: list[str], settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for address in filter(None, (settings.mqtt, settings.mqtts)):  # it opens one after the other
            wait_for_port(int(address.rpartition(":")[2]), timeout_s=20)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


def with_broker_port(services: Services) -> Settings:
    return msgspec.structs.replace(services.settings, mqtt=f"127.0.0.1:{free_port()}")


@asynccontextmanager
async def client(
    settings: Settings, name: str, token: str, identifier: str | None = None
) -> AsyncIterator[aiomqtt.Client]:
    host, port, _ = settings.broker()
    async with aiomqtt.Client(
        host, port, username=name, password=token, identifier=identifier or name,
        protocol=aiomqtt.ProtocolVersion.V311, clean_session=True, timeout=5,
    ) as connected:  # fmt: skip
        yield connected


async def receive(connected: aiomqtt.Client, timeout_s: float = 5.0) -> aiomqtt.Message:
    async with asyncio.timeout(timeout_s):
        return await anext(connected.messages)


async def until(condition: object, timeout_s: float = 5.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def has_mosquitto() -> bool:
    return Path("/usr/sbin/mosquitto").exists() or shutil.which("mosquitto") is not None
