"""An operator of the platform who rolls releases out over the fleet's API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp

from lab.errors import LabError

WITHIN_S = 30.0
ENDS_S = 240.0
LOOK_S = 0.5
ENDS = frozenset({"paused", "finished", "stopped", "denied"})
RULES: Mapping[str, object] = {"executed_least": 1, "error_percent": 0, "success_percent": 100, "attempts": 1}
"""One gateway that goes back is one too many."""
Tell = Callable[[str], None]


class Operator:
    """Speaks by name and password."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self._url = f"{url.rstrip('/')}/api"
        self._auth = aiohttp.BasicAuth(name, password)

    async def roll_out(self, name: str, version: str, canary: Sequence[str], tell: Tell) -> str:
        """Roll a version out, to the canary first; watch it to its end or its pause. Returns the state.

        Raises LabError with the fleet's own words.
        """
        plan = {"name": name, "version": version, "waves": [{"gateways": list(canary)}], "rules": RULES}
        async with aiohttp.ClientSession(auth=self._auth, timeout=aiohttp.ClientTimeout(WITHIN_S)) as session:
            made = await self._ask(session, "POST", "/rollouts", plan)
            number = made["id"]
            await self._ask(session, "POST", f"/rollouts/{number}/start")
            return await self._watch(session, number, version, tell)

    async def _watch(self, session: aiohttp.ClientSession, number: int, version: str, tell: Tell) -> str:
        deadline, wave = time.monotonic() + ENDS_S, None
        while time.monotonic() < deadline:
            rollout = await self._ask(session, "GET", f"/rollouts/{number}")
            if rollout["wave"] != wave and rollout["wave"] is not None:
                wave = rollout["wave"]
                tell(f"rollout {number} of {version}: wave {wave + 1} of {len(rollout['waves'])} begins")
            if rollout["state"] in ENDS:
                said = f": {rollout['reason']}" if rollout["reason"] else ""
                tell(f"rollout {number} of {version} is {rollout['state']}{said}")
                return str(rollout["state"])
            await asyncio.sleep(LOOK_S)
        raise LabError(f"rollout {number} of {version} does not end", hint="look at its page on the console")

    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, document: object = None
    ) -> dict[str, Any]:
        async with session.request(method, self._url + path, json=document) as answer:
            told: dict[str, Any] = await answer.json()
            if answer.status >= 400:
                raise LabError(f"{method} {path}: {told.get('error', answer.status)}", hint=str(told.get("hint", "")))
            return told
