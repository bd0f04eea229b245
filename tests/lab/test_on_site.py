"""A technician's laptop at a gateway on site: kit, scan, commission, and the first reading that the fleet commits."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sqlite3
import sys
import tty
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from lab.fleet_side import FleetSide
from lab.gateway_side import GatewaySide
from lab.processes import program
from lab.site_file import Identity, read_identity
from lab.stations import ChemicalPark
from lab.truth import Truth
from lab.way_in import ByClaim
from provisioning.kit.book import Book

PASSPHRASE = "four words of mine"


class Scene:
    """A fleet that serves, a gateway that is nobody yet, its instruments, and a laptop with a kit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.station, self.way_in = ChemicalPark(Truth()), ByClaim()
        self.fleet = FleetSide(folder / "fleet", console_port=0)
        self.identity: Identity = read_identity(self.station.text)
        self.kit, self.book = folder / "kit.fsk", folder / "book.json"
        (folder / "passphrase").write_text(PASSPHRASE)
        self.common = ["--book", self.book, "--by", "李工", "--language", "en", "--json"]
        self.opening = ["--passphrase-file", folder / "passphrase"]

    async def open(self) -> None:
        home = self.folder / self.identity.id
        home.mkdir()
        await self.station.open()
        await self.fleet.init()
        await self.way_in.found(self.fleet)
        with self.fleet.settings.open("a", encoding="utf-8") as settings:
            settings.write('gateways_broker_url = "mqtts://127.0.0.1:8883"\n')
        await self.fleet.add_site(self.identity)
        await self.way_in.announce(self.fleet, self.station, self.identity, home)
        await self.fleet.serve()
        await self._make_kit()
        kit = await self.provision("kit", "open", self.kit, *self.opening)
        await self.start(self.fleet.console_url.rstrip("/"), kit["ca_sha256"])

    async def start(self, door: str, anchor: str) -> None:
        """Start the gateway's agent, which knows where the fleet is and whom to trust."""
        home = self.folder / self.identity.id
        home.mkdir(exist_ok=True)
        self.side = GatewaySide(self.station, home, self.fleet.gateways_port, self.way_in.text(self.station), door)
        await self.side.start()
        await self.side.agent.stop()
        (home / "enrol.toml").write_text(f'url = "{door}"\nca_sha256 = "{anchor}"\n')
        await self.side.start_agent()
        (self.folder / "code").write_text(self.side.code)
        await self._until_open(self.side.page_port)

    async def _until_open(self, port: int) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    return

    async def _make_kit(self) -> None:
        fleet = [program("fengsui-fleet")]
        words = [
            "user",
            "token",
            "technician",
            "laptop",
            "--scope",
            "provision",
            "--data",
            str(self.fleet.database.parent),
        ]
        process = await asyncio.create_subprocess_exec(*fleet, *words, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        token = next(word for word in out.decode().split() if len(word) > 30)
        (self.folder / "token").write_text(token)
        (self.folder / "gateways.csv").write_text(
            f"gateway,title,site,template\n{self.identity.id},,{self.identity.site},{self.identity.id}\n"
        )
        await self.provision(
            "kit", "make", "--url", self.fleet.console_url.rstrip("/"), "--token-file", self.folder / "token",
            "--site", self.identity.site, "--list", self.folder / "gateways.csv", "--out", self.kit, *self.opening,
        )  # fmt: skip

    async def provision(self, *words: object):
        command = [sys.executable, "-m", "provisioning.cli", *map(str, words), *map(str, self.common)]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
        )
        out, err = await asyncio.wait_for(process.communicate(), 100)
        assert process.returncode == 0, err.decode()
        return json.loads(out)

    @property
    def at(self) -> list[object]:
        """How the laptop reaches the gateway's page: over a cable of its own."""
        return ["--at", self.side.page_url.rstrip("/"), "--plain", "--code-file", self.folder / "code"]

    def readings(self) -> int:
        with closing(sqlite3.connect(f"file:{self.fleet.database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM (SELECT 1 FROM reading LIMIT 5)").fetchone()[0])

    async def close(self) -> None:
        await self.side.stop()
        await self.fleet.stop()
        await self.station.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def lonely(tmp_path: Path) -> AsyncIterator[Scene]:
    """A gateway whose fleet is out of reach."""
    made = Scene(tmp_path)
    await made.start("http://127.0.0.1:1", "ab" * 32)
    yield made
    await made.side.stop()


async def test_from_the_kit_by_scan_and_commission_to_the_first_reading(scene: Scene) -> None:
    listed = await scene.provision("scan", *scene.at)
    assert listed["lines"] == []
    url = next(value for name, value in scene.station.places.items() if name.endswith("port"))
    found = await scene.provision("scan", *scene.at, "--line", f"tcp://127.0.0.1:{url}", "--units", "1-2")
    assert found["found"], found
    settings = [word for name, value in scene.station.places.items() for word in ("--set", f"{name}={value}")]
    chosen = ("--gateway", scene.identity.id, "--site", scene.identity.site, "--template", scene.identity.id)
    await scene.provision("site", scene.kit, *chosen, *settings, *scene.opening)
    line = ("--line", f"tcp://127.0.0.1:{url}", "--units", "1-2")
    made = await scene.provision(
        "commission", scene.kit, "--gateway", scene.identity.id, *line, *scene.at, *scene.opening
    )
    assert made["is_complete"], made
    assert any(made["values"].values())
    assert set(made["outputs"].values()) <= {"not-tested"}
    used = await scene.provision("scan", *scene.at)
    assert used["lines"]
    async with asyncio.timeout(60):
        while scene.readings() < 5:  # noqa: ASYNC110 - another process commits them
            await asyncio.sleep(0.2)
    door = ("--url", scene.fleet.console_url.rstrip("/"), "--token-file", scene.folder / "token")
    synced = await scene.provision("sync", scene.kit, *door, *scene.opening)
    kinds = [line.kind for line in Book(scene.book).lines()]
    assert list(dict.fromkeys(kinds)) == ["site", "scan", "bundle", "checklist", "reading", "commission"]
    assert synced["synced"] == len(kinds)


async def test_by_the_serial_console_through_echo_and_noise(lonely: Scene) -> None:
    """A pseudo terminal in place of the cable: the gateway's end echoes what comes, and a shell has said something."""
    ours, theirs = pty.openpty()
    device = os.ttyname(theirs)
    tty.setraw(theirs)
    data = lonely.side.folder / "data"
    command = [program("fengsui-edge"), "console", "--data", str(data)]
    console = await asyncio.create_subprocess_exec(*command, stdin=ours, stdout=ours)
    os.write(ours, b"gateway login: \xff\xfe\r\n")
    try:
        listed = await lonely.provision("scan", "--serial", device, "--code-file", lonely.folder / "code")
        assert "ports" in listed
    finally:
        console.kill()
        await console.wait()
        os.close(ours)
        os.close(theirs)
