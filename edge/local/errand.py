"""Surveys and readings for a technician: the gateway's own tools in a process of their own, one at a time.

A process of its own, at the lowest priority, keeps acquisition undisturbed: it shares no memory and no event loop with
it, serial ports are locked between processes, and it can be ended at any moment.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from edge.errors import EdgeError

LASTS_MOST_S = 900.0
OUTPUT_MOST = 4 * 1024 * 1024
END_S = 15.0
"""So long an exchange under way may take to its end."""
OWN = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "edge.cli"]
"""How the agent's own program is called: frozen it is the executable itself (PyInstaller, run-time information)."""


class ErrandError(EdgeError):
    """It cannot be begun now; nothing has been asked of any instrument."""


class Errand:
    """The tool that was begun last."""

    def __init__(self) -> None:
        self._task: asyncio.Task[dict[str, Any]] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._words: tuple[str, ...] = ()

    @property
    def is_under_way(self) -> bool:
        """Whether a tool runs."""
        return self._task is not None and not self._task.done()

    def begin(self, words: Sequence[str]) -> None:
        """Run ``fengsui-edge`` with these words. Raises ErrandError while another runs."""
        if self.is_under_way:
            raise ErrandError(f"'{' '.join(self._words)}' is under way", hint="wait for its end, or end it")
        self._words = tuple(words)
        self._task = asyncio.create_task(self._run(), name="errand")

    async def _run(self) -> dict[str, Any]:
        self._process = process = await asyncio.create_subprocess_exec(
            "nice", "-n", "19", *OWN, *self._words, "--json",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            async with asyncio.timeout(LASTS_MOST_S):
                octets = await process.stdout.read(OUTPUT_MOST)
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            told: dict[str, Any] = msgspec.json.decode(octets, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {"error": f"'{' '.join(self._words)}' ended with status {process.returncode} and said nothing"}
        return told

    def end(self) -> None:
        """Have it end after the exchange under way."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)

    def came(self) -> tuple[bool, dict[str, Any]]:
        """Return whether it is over, and what came of it. Raises ErrandError if nothing was begun."""
        if self._task is None:
            raise ErrandError("nothing was begun", hint="scan a line first")
        if not self._task.done():
            return False, {}
        try:
            return True, self._task.result()
        except (TimeoutError, OSError) as error:
            return True, {"error": f"'{' '.join(self._words)}' did not end in order: {error or type(error).__name__}"}

    async def close(self) -> None:
        """End it at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
