"""A gateway on its own: an overfill while broker and fleet are stopped, acknowledged on the gateway's own page."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lab.district import District
from lab.fleet_side import FleetSide
from lab.gateway_side import GatewaySide
from lab.stations import ChemicalPark
from lab.truth import Truth

PARK = "gw-yufu-0001"
ALARM = "tanks.t103-level:high-high"
SIREN = 0
BY = "张三"


async def until(holds: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def acknowledge(side: GatewaySide) -> None:
    """As somebody on site would: sign in, find the alarm on the page, press its button."""
    jar = aiohttp.CookieJar(unsafe=True)  # takes the cookies of a bare address
    async with aiohttp.ClientSession(side.page_url, cookie_jar=jar) as browser:
        async with browser.post("/sign-in", data={"name": BY, "code": side.code}) as answer:
            page = await answer.text()
        form = next(one for one in re.findall(r"(?s)<form.*?</form>", page) if ALARM in one and "acknowledge" in one)
        fields = dict(re.findall(r'name="([^"]+)"[^>]* value="([^"]*)"', form))
        async with browser.post("/operate", data=fields) as answer:
            assert ALARM in await answer.text()


async def read_journal(district: District) -> list[dict[str, Any]]:
    """The journal of that alarm by the fleet's API, oldest first."""
    fleet = district.fleet
    who = {"Authorization": aiohttp.encode_basic_auth(fleet.user, fleet.password)}
    chosen = {"gateway": PARK, "limit": "1000"}
    async with (
        aiohttp.ClientSession(fleet.console_url, headers=who) as client,
        client.get("/api/alarms/journal", params=chosen) as answer,
    ):
        events = (await answer.json())["events"]
    return [event for event in reversed(events) if event["alarm"] == ALARM]


@pytest.mark.timeout(240)
async def test_overfill_with_no_fleet_lights_the_siren_and_is_in_the_journal_in_order_afterwards(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    folder = tmp_path / "district"
    park: list[ChemicalPark] = []

    def alone(truth: Truth) -> list[ChemicalPark]:
        park.append(ChemicalPark(truth))
        return park

    district = District(folder, told.append, fleet=FleetSide(folder / "fleet", console_port=0), sites=alone)
    try:
        await district.open()
        (side,) = district.gateways
        siren = side.station.relay.coils
        await district.fleet.stop()
        park[0].overfill(2)
        await until(lambda: siren[SIREN], 20)
        await acknowledge(side)
        await until(lambda: not siren[SIREN], 60)
        await district.fleet.serve_again()
        assert await district.fleet.comes_up()
        for _ in range(60):
            await asyncio.sleep(0.5)
            journal = await read_journal(district)
            if any(event["kind"] == "cleared" for event in journal):
                break
    finally:
        await district.close()
    changes = [event for event in journal if event["kind"] != "action"]
    assert [event["kind"] for event in changes] == ["raised", "acknowledged", "cleared"]
    assert [event["state"] for event in journal if event["kind"] == "action"] == ["on", "off"]
    times = [event["at_ns"] for event in journal]
    assert times == sorted(times)
    assert changes[1]["by"] == BY
