"""The handle on a running demo: a small HTTP port on the loopback, found through a file in the data folder."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from lab.errors import LabError

FILE = "control.json"
TIMEOUT_S = 10.0

Scenario = Callable[[], Awaitable[str]]
"""Does it, and says what was done."""


class Control:
    """Serves ``POST /trigger/<scenario>``."""

    def __init__(self, scenarios: Mapping[str, Scenario]) -> None:
        self._scenarios = scenarios
        self._runner: web.AppRunner | None = None
        self._file: Path | None = None

    async def open(self, folder: Path) -> None:
        """Listen on a free port and leave the address in the folder."""
        app = web.Application()
        app.router.add_post("/trigger/{scenario}", self._trigger)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._file = folder / FILE
        self._file.write_text(json.dumps({"url": url, "pid": os.getpid()}), "utf-8")

    async def close(self) -> None:
        """Stop listening. May be called twice."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    async def _trigger(self, request: web.Request) -> web.Response:
        name = request.match_info["scenario"]
        scenario = self._scenarios.get(name)
        if scenario is None:
            return web.json_response(
                {"error": f"no scenario '{name}'; there are: {', '.join(self._scenarios)}"}, status=404
            )
        try:
            return web.json_response({"done": await scenario()})
        except LabError as error:
            return web.json_response({"error": str(error)}, status=409)


def is_running(folder: Path) -> bool:
    """Tell whether the demo that left its address in a folder still lives."""
    try:
        os.kill(int(json.loads((folder / FILE).read_text("utf-8"))["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return False
    return True


def trigger(folder: Path, scenario: str) -> str:
    """Ask the demo that runs on a data folder for a scenario; return what it did. Raises LabError."""
    try:
        url = json.loads((folder / FILE).read_text("utf-8"))["url"]
    except (OSError, ValueError, KeyError) as error:
        raise LabError(f"no demo runs on {folder}", hint="start one with: make demo") from error
    request = urllib.request.Request(f"{url}/trigger/{scenario}", method="POST")  # noqa: S310 - an address of our own
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return str(json.load(response)["done"])
    except urllib.error.HTTPError as error:
        with error:
            raise LabError(str(json.load(error)["error"])) from error
    except OSError as error:
        raise LabError(f"the demo on {folder} does not answer", hint="is it still running?") from error
