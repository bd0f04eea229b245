"""A flood of alarms on one gateway: nothing is dropped, both pages answer meanwhile, and show what came first.

A real agent with its page, the fleet with its broker and console, and a platform; the switches are those of the faults'
harness (`tests.faults.yard`). An operator looks at each page all the while.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec

from edge.supervise import end
from lab.district import District
from lab.truth import Truth, percentile
from lab.way_in import ByToken
from tests.faults.alarm_verdict import read_journal
from tests.faults.yard import Yard

GATEWAY = "gw-yard-0001"
ALARMS, WIDTH, FLOOD_S = 1000, 100, 10.0
FIRST, FIRST_S = 10, 1.0
"""So many come at once; what follows begins after this time, when all of them were read."""
BEFORE_S, AFTER_S = 2.0, 3.0
LOOK_S, TIMEOUT_S = 0.3, 10.0
ARRIVE_S = 60.0
ON_PAGE = re.compile(r'data-alarm="(yard-\d+\.s\d\d):high"')
TITLE = re.compile(r"yard-\d+\.s\d\d")
FORM_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Looks(msgspec.Struct):
    """What an operator saw of a page: how long each answer took in ms, how many failed, which tags came first in the
    newest one."""

    name: str
    ms: list[float] = []
    failed: int = 0
    first: list[str] = []

    @property
    def p95_ms(self) -> float:
        """The nearest-rank percentile."""
        return percentile(self.ms, 0.95) or math.inf


def measure_flood() -> dict[str, float]:
    """Alarms of 1,000 that are not in the fleet's journal exactly once; ms of both pages meanwhile, and how many of the
    flood's first ten each shows first."""
    with tempfile.TemporaryDirectory(prefix="fengsui-flood-") as folder:
        return asyncio.run(_flood(Path(folder)))


async def _flood(folder: Path) -> dict[str, float]:
    async with _running(folder) as (district, yard):
        page, console = Looks("page"), Looks("console")
        fleet = district.fleet
        side = district.gateways[0]
        sign_in = {"name": "operator", "code": side.code}
        looking = [
            asyncio.create_task(_look(page, side.page_url, "/", sign_in, ON_PAGE)),
            asyncio.create_task(
                _look(console, fleet.console_url, "/alarms", {"name": fleet.user, "password": fleet.password}, TITLE)
            ),
        ]
        await asyncio.sleep(BEFORE_S)
        first = await _raise(yard)
        raised = await _arrive(fleet.database_url)
        await asyncio.sleep(AFTER_S)
        await end(*looking)
    for looks in (page, console):
        print(f"  {looks.name}: {len(looks.ms)} looks, slowest {max(looks.ms):.0f} ms", file=sys.stderr)
    return {
        "alarm_flood_dropped": ALARMS - sum(count == 1 for count in raised.values()),
        "alarm_flood_page_ms_p95": page.p95_ms,
        "alarm_flood_console_ms_p95": console.p95_ms,
        "alarm_flood_page_first_shown": len(first & set(page.first[:FIRST])),
        "alarm_flood_console_first_shown": len(first & set(console.first[:FIRST])),
        "alarm_flood_looks_failed": page.failed + console.failed,
    }


@asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[tuple[District, Yard]]:
    """Run it all. Gives the district and the gateway's switches."""
    yards: list[Yard] = []

    def make(truth: Truth) -> Sequence[Yard]:
        yards.append(Yard(GATEWAY, truth, ALARMS // WIDTH))
        return yards

    district = District(folder / "district", lambda _text: None, sites=make, way_in=ByToken())
    try:
        await district.open()
        yield district, yards[0]
    finally:
        await district.close()


async def _raise(yard: Yard) -> set[str]:
    """Let the flood come. Returns the tags of the first ten, which come together and before all others."""
    switches = list(yard.switches.items())
    random.Random(1).shuffle(switches)
    for _, switch in switches[:FIRST]:
        switch.change(0)
    await asyncio.sleep(FIRST_S)
    pause_s = (FLOOD_S - FIRST_S) / (ALARMS - FIRST)
    began = time.monotonic()
    for number, (_, switch) in enumerate(switches[FIRST:]):
        await asyncio.sleep(max(0.0, began + number * pause_s - time.monotonic()))
        switch.change(0)
    return {tag for tag, _ in switches[:FIRST]}


async def _arrive(database: str) -> Counter[str]:
    """Wait until the journal has as many raises as there were, or for `ARRIVE_S`; count them by alarm."""
    deadline = time.monotonic() + ARRIVE_S
    while True:
        lines = await asyncio.to_thread(read_journal, database)
        raised = Counter(line.alarm for line in lines if line.kind == "raised")
        if raised.total() >= ALARMS or time.monotonic() > deadline:
            return raised
        await asyncio.sleep(1.0)


async def _look(looks: Looks, url: str, path: str, sign_in: dict[str, str], shown: re.Pattern[str]) -> None:
    """Sign in and look at a page until cancelled."""
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as client:
        token = FORM_TOKEN.search((await client.get("/sign-in")).text)
        form = sign_in | ({"csrf_token": token[1]} if token else {})
        signed_in = await client.post("/sign-in", data=form)
        if not signed_in.is_redirect:
            raise RuntimeError(
                f"nobody can sign in on the {looks.name}: {signed_in.status_code} {signed_in.text[:2000]}"
            )
        while True:
            began = time.perf_counter()
            try:
                answer = await client.get(path)
            except httpx.HTTPError as error:
                looks.failed += 1
                print(f"  the {looks.name} does not answer: {error!r}", file=sys.stderr)
            else:
                looks.ms.append((time.perf_counter() - began) * 1000)
                looks.failed += answer.status_code != httpx.codes.OK
                looks.first = shown.findall(answer.text)
            await asyncio.sleep(LOOK_S)
