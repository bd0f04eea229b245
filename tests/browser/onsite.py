"""A real fleet with an authority, a real agent that has no identity yet, and one Modbus instrument with a siren."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from pyModbusTCP.server import ModbusServer

from fleet.cli import main
from lab.fleet_side import FleetSide
from lab.processes import Child, free_port, program, run_once
from tests.servers import free_port as any_port
from tests.servers import wait_for_port

SITE, TEMPLATE, TECHNICIAN, PASSWORD, SITE_CODE = "yufu-chem", "tank-plc", "li", "correct horse battery", "2468013579"
SIREN, UP_S = 5, 30.0
LAT, LON = 29.7163, 106.6301
BUILD = """\
[variable.plc]
title = "PLC 地址"
default = "127.0.0.1:{port}"

[[bus]]
name = "plc"
kind = "modbus"
url = "tcp://${{plc}}"
timeout_s = 0.5

[[device]]
name = "t-101"
title = "1# 储罐"
bus = "plc"
unit = 1

[[device.group]]
name = "fast"
poll_s = 0.5

[[device.group.tag]]
name = "level"
title = "液位"
unit = "%"
function = 3
address = 0
type = "u16"
low = 0
high = 100

[[device.group.tag.alarm]]
level = "high"
limit = 90
outputs = ["siren"]

[[device.group.tag]]
name = "siren"
title = "声光"
function = 1
address = 5

[[output]]
name = "siren"
title = "罐区声光报警器"
tag = "t-101.siren"
"""
GATEWAY = """\
[health]
listen = ""

[local]
listen = "127.0.0.1:{page}"
code_file = "site.code"

[uplink]
health_s = 1.0
live_s = 0.5
"""


class OnSite:
    """Everything that stands between a technician's phone and an instrument. `begin` once, `end` once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plc = ModbusServer("127.0.0.1", any_port(), no_block=True)
        self.fleet = FleetSide(folder / "fleet", console_port=free_port())
        self.agent = Child("the agent", folder / "agent.log")
        self.page_port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="onsite", daemon=True)

    def begin(self) -> None:
        """Found the fleet and serve it, switch the instrument on, and unpack the gateway."""
        self._thread.start()
        self.plc.start()
        self.plc.data_bank.set_holding_registers(0, [52])
        self._do(self._found())
        self._do(self._unpack())

    def end(self) -> None:
        """Switch everything off."""
        self._do(self.agent.stop())
        self._do(self.fleet.stop())
        self.plc.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    @property
    def url(self) -> str:
        """The fleet's address."""
        return self.fleet.console_url.rstrip("/")

    @property
    def page_url(self) -> str:
        """Where the gateway's own page is."""
        return f"http://127.0.0.1:{self.page_port}"

    def siren_is_on(self) -> bool:
        """Whether the siren sounds."""
        return bool(self.plc.data_bank.get_coils(SIREN, 1)[0])

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    async def _found(self) -> None:
        await self.fleet.init()
        await self.fleet.found_authority()
        template = self.folder / "tank.toml"
        template.write_text(BUILD.format(port=self.plc.port), "utf-8")
        data = ("--data", str(self.fleet.settings.parent))
        where = ("--title", "鱼复化工园", "--sector", "chemical", "--lat", str(LAT), "--lon", str(LON))
        about = ("--title", "储罐 PLC", "--sector", "chemical")
        for words in (
            ("site", "add", SITE, *where, *data),
            ("site", "add", "longxing", "--title", "龙兴气象站", "--sector", "weather", *data),
            ("template", "add", TEMPLATE, str(template), *about, *data),
        ):
            assert main(words) == 0
        user = ("user", "add", TECHNICIAN, "--role", "technician", "--password-stdin", *data)
        await run_once([program("fengsui-fleet"), *user], PASSWORD)
        await self.fleet.serve()

    async def _unpack(self) -> None:
        gateway = self.folder / "gateway"
        gateway.mkdir()
        config = gateway / "gateway.toml"
        config.write_text(GATEWAY.format(page=self.page_port), "utf-8")
        (gateway / "enrol.toml").write_text(f'url = "{self.url}"\n', "utf-8")
        await run_once([program("fengsui-edge"), "local-code", str(gateway / "site.code")], SITE_CODE + "\n")
        data = str(gateway / "data")
        await self.agent.start([program("fengsui-edge"), "run", "--config", str(config), "--data", data])
        await asyncio.to_thread(wait_for_port, self.page_port, UP_S)
