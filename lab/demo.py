"""A run of the district with a person watching: progress, scenarios by the clock, and the report at the end."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from lab.district import District
from lab.processes import program
from lab.report import Figures

LOOK_S = 0.5
TELL_S = 10.0
"""How often progress is told where no status line can be shown."""
SCHEDULE = ((0.2, "overfill"), (0.3, "flood"), (0.4, "leak"), (0.6, "fire"))
"""What a timed run triggers, and when, as shares of its length. The quake comes at once and peaks after 39 s."""
UPDATE_FROM_S = 180.0
"""A timed run that is as long as this has time for an update as well."""
UPDATED = (0.35, "update")


class Outcome:
    """How a run ended. ``figures`` are those of a timed run that came to its end; ``shortfalls`` what was not right."""

    def __init__(self, figures: Figures | None = None, shortfalls: tuple[str, ...] = ()) -> None:
        self.figures = figures
        self.shortfalls = shortfalls


class Demo:
    """One run. ``stopped`` is set when the person has had enough."""

    def __init__(self, folder: Path, console: Console, status: Status, stopped: asyncio.Event) -> None:
        self._folder = folder
        self._console = console
        self._status = status
        self._stopped = stopped
        self._told_s = 0.0
        self._district = District(folder, self._tell, is_updated=True)

    async def run(self, seconds: float | None, setup_s: float | None) -> Outcome:
        """Start, run and stop the district. Raises LabError if something does not come up or ends by itself."""
        try:
            if not await self._open():
                return Outcome()
            self._welcome()
            if seconds is None:
                await self._watch(None)
                return Outcome()
            return await self._run_timed(seconds, setup_s)
        finally:
            self._status.update("stopping")
            await self._district.close()
            self._tell("stopped")

    async def _open(self) -> bool:
        """Start the district; False if the person stopped it meanwhile."""
        self._status.update("starting")
        opening = asyncio.create_task(self._district.open())
        waiting = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({opening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not opening.done():
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            return False
        await opening
        await self._district.fleet.add_streets()
        return True

    def _welcome(self) -> None:
        fleet = self._district.fleet
        show = partial(self._console.print, soft_wrap=True)
        show(f"\n[bold]Console[/bold]  {fleet.console_url}")
        show(f"[bold]Sign-in[/bold]  {fleet.user} / {fleet.password}")
        for gateway in self._district.gateways:
            show(f"[bold]Gateway[/bold]  {gateway.page_url}  {gateway.code}  {gateway.station.gateway}")
        option = "" if self._folder == Path("var/demo").resolve() else f" --data {self._folder}"
        command = f"{os.path.relpath(program('fengsui-lab'))} trigger {'|'.join(self._district.scenarios)}"
        show(f"[bold]Trigger[/bold]  {command}{option}")
        show("[bold]Stop[/bold]     Ctrl-C\n")

    async def _run_timed(self, seconds: float, setup_s: float | None) -> Outcome:
        self._tell(await self._district.quake())
        if not await self._watch(seconds):
            self._tell("interrupted: no report")
            return Outcome()
        self._status.update("instruments are off: waiting until everything has reached the platform")
        if not await self._district.drain():
            self._tell("not everything has reached the platform in time")
        figures, shortfalls = self._district.figures(setup_s)
        return Outcome(figures, tuple(shortfalls))

    async def _watch(self, seconds: float | None) -> bool:
        """Run until the time is over (True) or the person stops it (False)."""
        start = time.monotonic()
        due = [] if seconds is None else plan(seconds)
        while not self._stopped.is_set():
            elapsed = time.monotonic() - start
            if seconds is not None and elapsed >= seconds:
                return True
            while due and elapsed >= due[0][0]:
                self._tell(await self._district.scenarios[due.pop(0)[1]]())
            self._district.check()
            self._show_progress(elapsed, seconds)
            await asyncio.sleep(LOOK_S)
        return False

    def _show_progress(self, elapsed: float, seconds: float | None) -> None:
        now = self._district.progress()
        length = "" if seconds is None else f" of {seconds:.0f}"
        words = (
            f"{elapsed:.0f}{length} s   served {now.acquired:,}   at the platform {now.relayed:,}   "
            f"under way {now.behind:,} scans   alarms {now.alarms}   duplicates {now.duplicates}"
        )
        self._status.update(words)
        if not self._console.is_terminal and elapsed >= self._told_s + TELL_S:
            self._told_s = elapsed
            self._tell(words)

    def _tell(self, text: str) -> None:
        self._console.print(f"[dim]·[/dim] {escape(text)}", soft_wrap=True)


def plan(seconds: float) -> list[tuple[float, str]]:
    """Return what a timed run triggers, each with its second, in order."""
    chosen = [*SCHEDULE, UPDATED] if seconds >= UPDATE_FROM_S else SCHEDULE
    return sorted((share * seconds, name) for share, name in chosen)
