"""The agent's own updater: takes targets, fetches, fills the slot that does not run, and sees a trial through.

What may run is decided by signatures (`Source`), when it is judged by `edge.updates.decision`; who ends a trial is the
launcher (`edge.updates.slots`). Each step is on the disk before it is acted upon.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from edge.clock import SystemClock
from edge.errors import DocumentError, EdgeError
from edge.settings import UpdateSettings
from edge.trial import Sight, find_well
from edge.updates import decision
from edge.updates.errors import CalledOffError, RefusedError, RolledBackError
from edge.updates.slots import Last, Order, SlotError, Slots, Trial
from edge.updates.work import Work, WorkFile
from wire.update import DETAIL_MOST, ENDS, Kind, Progress, Step, Target

log = logging.getLogger(__name__)

NS = 1_000_000_000
LOOK_S = 0.5
"""Between two looks at a trial."""
SHOW_S = 2.0
"""Between two words of how far a download is."""
WELL_S = 120
"""What had a good scan within that time before an update was well."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A verified artifact: its file, and the digest that its unpacked tree must have."""

    archive: Path
    tree_sha256: str


class Source(Protocol):
    """Where releases come from. Blocks, raises EdgeError (RefusedError for what must not run)."""

    def fetch(self, work: Work, tell: Callable[[int, int], None]) -> Fetched:
        """Return a verified artifact. ``tell`` is told octets done and in all, and raises to end it."""

    def unpack(self, fetched: Fetched, folder: Path) -> None:
        """Unpack an artifact into an empty folder, durably, and check its digest."""

    def clear(self) -> None:
        """Forget what was fetched."""


class Installer(Protocol):
    """What puts released driver profiles in place."""

    def version(self) -> str:
        """Return the version that is in place."""

    async def install(self, tree: Path) -> None:
        """Try a tree of profiles. Raises RefusedError, RolledBackError or EdgeError."""


class Updater:
    """Run `run` as a task; `take` what the fleet wants. ``due`` is set whenever it is to be told something."""

    def __init__(
        self,
        file: WorkFile,
        slots: Slots | None,
        source: Source,
        settings: UpdateSettings,
        clock: SystemClock,
        *,
        release: str,
        probe: str,
        say: Callable[[str, str], None],
        sights: Callable[[], Mapping[str, Sight] | None],
        has_session: Callable[[], bool],
        is_acknowledged: Callable[[], Awaitable[bool]],
        profiles: Installer,
        leave: Callable[[], None],
    ) -> None:
        self._file = file
        self._slots = slots
        self._source = source
        self._settings = settings
        self._clock = clock
        self._release = release
        self._probe = probe
        self._say = say
        self._sights = sights
        self._has_session = has_session
        self._is_acknowledged = is_acknowledged
        self._profiles = profiles
        self._leave = leave
        self._began_ns = clock.mono_ns()
        self._wanted: dict[Kind, Target] = {}
        self._news = asyncio.Event()
        self._called_off: set[str] = set()
        self._untold: set[Kind] = set()
        self._declined: dict[Kind, Progress] = {}
        self._is_leaving = False
        self.due = asyncio.Event()

    @property
    def installs(self) -> tuple[Kind, ...]:
        """The kinds of release that this gateway takes: an agent only where a launcher can go back from it."""
        return ("profiles",) if self._slots is None else ("agent", "profiles")

    def take(self, target: Target) -> None:
        """Take what the fleet wants, or tell it how far that is."""
        if target.is_cancelled and (waiting := self._wanted.get(target.kind)) and waiting.action == target.action:
            del self._wanted[target.kind]  # it has not begun: another kind of release is at work
        match decision.answer(self._file.get(target.kind), target):
            case "begin":
                self._wanted[target.kind] = target
                self._news.set()
                if (before := self._file.get(target.kind)) is not None:
                    self._called_off.add(before.trial)
            case "cancel":
                self._called_off.add(f"{target.action}.{target.attempt}")
            case "tell":
                self._tell_fleet(target.kind)
            case "decline":
                self._declined[target.kind] = decline(target)
                self.due.set()
            case "ignore":
                log.debug("action %s is not begun: another has to end first", target.action)

    def take_untold(self) -> tuple[Progress, ...]:
        """Return what the fleet is to be told now."""
        self.due.clear()
        told = tuple(work.progress() for work in self._file.all() if work.kind in self._untold)
        told += tuple(self._declined.values())
        self._untold.clear()
        self._declined.clear()
        return told

    def _tell_fleet(self, kind: Kind) -> None:
        self._untold.add(kind)
        self.due.set()

    # what is on the disk

    def _keep(self, work: Work, step: Step, detail: str = "") -> Work:
        """Move a work on. Raises DocumentError, and it stays where it was."""
        now_ns = self._clock.wall_at(self._clock.mono_ns())
        moved = msgspec.structs.replace(work, step=step, detail=detail[:DETAIL_MOST], at_ns=now_ns)
        self._file.keep(moved)
        self._note(moved)
        return moved

    def _note(self, work: Work) -> None:
        log.log(logging.INFO if work.step not in ENDS - {"confirmed"} else logging.WARNING, "%s", describe(work))
        if work.is_over or work.step == "installed":
            self._say(f"update-{work.step}", describe(work))
        self._tell_fleet(work.kind)

    # the task

    async def run(self) -> None:
        """Go on with what was begun before, then do what is wanted, until cancelled."""
        await self._recover()
        while True:
            await self._news.wait()
            self._news.clear()
            while self._wanted and not self._is_leaving:
                target = self._wanted.pop(next(iter(self._wanted)))
                work = decision.begin(target, self._clock.wall_at(self._clock.mono_ns()))
                try:
                    self._file.keep(work)
                except DocumentError as error:
                    log.error("action %s is not begun: %s", target.action, error)
                    continue
                await self._carry_out(work)

    async def _recover(self) -> None:
        trial, last = self._look()
        works = {work.kind: work for work in self._file.all()}
        known = works.get("agent")
        if trial is not None and (known is None or known.trial != trial.action):
            works["agent"] = decision.adopt(trial)
        for work in sorted(works.values(), key=lambda work: work.kind != "agent"):  # a trial has a deadline
            if self._is_leaving:
                return
            found = decision.recover(work, trial, last)
            if found != self._file.get(work.kind):
                self._file.keep(found)
                self._note(found)
            if found.kind == "agent" and found.step == "trying" and trial is not None:
                await self._see_through(found, trial)
            elif found.step == "installed" and self._slots is not None:
                self._order_again(found)
            elif not found.is_over:
                await self._carry_out(found)

    def _look(self) -> tuple[Trial | None, Last | None]:
        if self._slots is None:
            return None, None
        try:
            return self._slots.trial(), self._slots.state().last
        except SlotError as error:
            log.error("%s", error)
            return None, None

    async def _carry_out(self, work: Work) -> None:
        """Do everything up to the trial; whatever keeps it from going on is the end of the attempt, with its reason."""
        self._tell_fleet(work.kind)
        try:
            await (self._update_agent(work) if work.kind == "agent" else self._update_profiles(work))
        except CalledOffError as error:
            self._end(work, "cancelled", error)
        except RefusedError as error:
            self._end(work, "refused", error)
        except RolledBackError as error:
            self._end(work, "rolled-back", error)
        except EdgeError as error:
            self._end(work, "failed", error)

    def _end(self, work: Work, step: Step, error: EdgeError) -> None:
        try:
            self._keep(self._file.get(work.kind) or work, step, f"{error}. {error.hint}".removesuffix(". "))
        except DocumentError as fault:
            log.error("the end of action %s could not be kept: %s", work.action, fault)

    async def _update_agent(self, work: Work) -> None:
        if work.version == self._release:
            self._keep(work, "confirmed", "this release runs already")
            return
        if self._slots is None:
            raise RefusedError("no launcher runs this agent", hint="install the package fengsui-edge")
        fetched = await self._fetch(work)
        slot = self._slots.idle_slot()
        room = await asyncio.to_thread(self._slots.make_room, slot)
        await self._unpack(fetched, room)
        await asyncio.to_thread(self._slots.fill, slot, room)
        work = msgspec.structs.replace(
            self._file.get("agent") or work, slot=slot, tree_sha256=fetched.tree_sha256, well=self._find_well()
        )
        work = self._keep(work, "installed")
        await asyncio.to_thread(self._source.clear)
        self._order(work)

    async def _update_profiles(self, work: Work) -> None:
        if work.version == self._profiles.version():
            self._keep(work, "confirmed", "these profiles are in place already")
            return
        fetched = await self._fetch(work)
        room = fetched.archive.with_suffix(".tree")
        await asyncio.to_thread(shutil.rmtree, room, ignore_errors=True)
        await asyncio.to_thread(room.mkdir)
        await self._unpack(fetched, room)
        work = self._file.get("profiles") or work
        self._keep(msgspec.structs.replace(work, orders=work.orders + 1), "trying")
        await self._profiles.install(room)
        self._keep(self._file.get("profiles") or work, "confirmed")
        await asyncio.to_thread(self._source.clear)

    async def _unpack(self, fetched: Fetched, room: Path) -> None:
        try:
            await asyncio.to_thread(self._source.unpack, fetched, room)
        except EdgeError:
            await asyncio.to_thread(shutil.rmtree, room, ignore_errors=True)  # the disk is the spool's first
            raise

    async def _fetch(self, work: Work) -> Fetched:
        shown_s = 0.0

        def tell(done: int, of: int) -> None:
            nonlocal shown_s
            if self._is_leaving:
                raise CalledOffError("the agent ends")
            if work.trial in self._called_off:
                raise CalledOffError("the fleet called it off")
            if self._is_too_late(work):
                raise EdgeError("the maintenance window is over", hint="it is offered again in the next one")
            if time.monotonic() - shown_s >= SHOW_S:
                shown_s = time.monotonic()
                loop.call_soon_threadsafe(self._show, msgspec.structs.replace(work, done=done, of=of))

        loop = asyncio.get_running_loop()
        try:
            fetched = await asyncio.to_thread(self._source.fetch, work, tell)
        except asyncio.CancelledError:
            self._is_leaving = True  # the thread has to hear of it, or the process waits for it
            raise
        self._keep(work, "verified")
        return fetched

    def _show(self, work: Work) -> None:
        self._file.show(work)
        self._tell_fleet(work.kind)

    def _is_too_late(self, work: Work) -> bool:
        return decision.is_too_late(work, self._clock.wall_at(self._clock.mono_ns()))

    def _order_again(self, work: Work) -> None:
        """After a start that was none of the launcher's: it has not heard of the order, or could not keep it."""
        try:
            self._order(work)
        except EdgeError as error:
            self._end(work, "cancelled" if isinstance(error, CalledOffError) else "failed", error)

    def _find_well(self) -> tuple[str, ...]:
        return find_well(self._sights() or {}, self._clock.mono_ns() - WELL_S * NS)

    def _order(self, work: Work) -> None:
        """Ask the launcher for the trial, and leave: it begins when this run has ended."""
        assert self._slots is not None
        if work.trial in self._called_off:
            raise CalledOffError("the fleet called it off")
        if self._is_too_late(work):
            raise EdgeError("the maintenance window is over", hint="it is offered again in the next one")
        work = msgspec.structs.replace(work, orders=work.orders + 1)
        self._file.keep(work)
        self._slots.order(
            Order(
                action=work.trial,
                slot=work.slot,
                version=work.version,
                tree_sha256=work.tree_sha256,
                tries=self._settings.tries,
                confirm_s=self._settings.confirm_s,
                probe=self._probe,
            )
        )
        log.info("release %s is tried now", work.version)
        self._is_leaving = True
        self._leave()

    # a trial

    async def _see_through(self, work: Work, trial: Trial) -> None:
        """Ask to be confirmed once all is well. If that never comes, the launcher ends this run, and says why."""
        assert self._slots is not None
        waits: tuple[str, ...] | None = None
        well_since_ns: int | None = None
        while True:
            now = decision.find_waits(
                work,
                self._sights(),
                self._began_ns,
                has_session=self._has_session(),
                is_acknowledged=await self._is_acknowledged(),
            )
            well_since_ns = None if now else well_since_ns or self._clock.mono_ns()
            if well_since_ns is not None and self._clock.mono_ns() - well_since_ns < self._settings.proving_s * NS:
                now = (f"{self._settings.proving_s:g} s of all being well",)
            if now != waits:
                waits = now
                await asyncio.to_thread(self._slots.tell_waits, trial, waits)
                self._show(msgspec.structs.replace(work, detail=f"waits for {', '.join(waits)}"[:DETAIL_MOST]))
            if not waits and await self._is_confirmed(work, trial):
                return
            await asyncio.sleep(LOOK_S)

    async def _is_confirmed(self, work: Work, trial: Trial) -> bool:
        assert self._slots is not None
        _, last = self._look()
        if last is not None and last.action == work.trial and last.outcome == "confirmed":
            self._keep(work, "confirmed")
            return True
        await asyncio.to_thread(self._slots.confirm, trial)
        return False


def decline(target: Target) -> Progress:
    """Make the answer to a cancellation of what was never begun."""
    return Progress(
        action=target.action,
        kind=target.kind,
        version=target.version,
        attempt=target.attempt,
        step="cancelled",
        detail="called off before it was begun",
    )


def describe(work: Work) -> str:
    """Say in one line what came of an update."""
    what = f"{work.kind} {work.version} (action {work.action})"
    return f"{what} is {work.step}: {work.detail}" if work.detail else f"{what} is {work.step}"
