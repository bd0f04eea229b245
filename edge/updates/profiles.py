"""Driver profiles of a later release: put in place whole, tried on the running configuration, and taken back if what
was well does not get well with them. No restart is needed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from drivers import profile
from drivers.errors import SettingsError
from drivers.profile import Shelf
from edge.applying import Applying, describe
from edge.clock import SystemClock
from edge.configuration import read_desired
from edge.errors import EdgeError
from edge.mistakes import Mistakes
from edge.trial import Sight, Trial, Watch, find_well, say_missing
from edge.updates.errors import RefusedError, RolledBackError

LOOK_S = 1.0
NS = 1_000_000_000


class ProfileFolder:
    """The released profiles of this gateway. Moves are durable when they return, and raise EdgeError."""

    def __init__(self, data: Path) -> None:
        self.released = data / profile.RELEASED_FOLDER
        self._before = data / f"{profile.RELEASED_FOLDER}.before"
        self._gone = data / f"{profile.RELEASED_FOLDER}.gone"

    def version(self) -> str:
        """Return the version that is in place and was found well, "" if only the installed profiles are."""
        judged = self._before if self._before.exists() else self.released
        try:
            return str(json.loads((judged / "release.json").read_bytes())["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def mend(self) -> None:
        """Take back what was never judged: the power was cut, or the disk took no more."""
        if self._before.exists():
            self.take_back()

    def put(self, tree: Path) -> None:
        """Put a tree in place, and keep what was there until it is judged."""
        self.mend()
        try:
            self.released.mkdir(parents=True, exist_ok=True)
            os.rename(self.released, self._before)
            os.rename(tree, self.released)
            self._sync()
        except OSError as error:
            raise EdgeError(f"profiles cannot be put in place: {error}", hint="look at the disk") from error

    def take_back(self) -> None:
        """Put back what was there before."""
        try:
            shutil.rmtree(self.released, ignore_errors=True)
            os.rename(self._before, self.released)
            self._sync()
        except OSError as error:
            raise EdgeError(f"profiles cannot be put back: {error}", hint="look at the disk") from error

    def settle(self) -> None:
        """Forget what was there before: by a rename, for half of it must never be taken back."""
        try:
            shutil.rmtree(self._gone, ignore_errors=True)
            os.rename(self._before, self._gone)
            self._sync()
        except OSError as error:
            raise EdgeError(f"profiles cannot be kept: {error}", hint="look at the disk") from error
        shutil.rmtree(self._gone, ignore_errors=True)

    def _sync(self) -> None:
        descriptor = os.open(self.released.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check(tree: Path, own: Path | None, running: Mapping[str, object]) -> None:
    """Raise RefusedError if a profile cannot be read, or the running configuration could not run with them."""
    shelf = Shelf(own, tree)
    names = [file.name.removesuffix(profile.SUFFIX) for file in sorted(tree.glob(f"*{profile.SUFFIX}"))]
    if not names:
        raise RefusedError("the release holds no profile", hint="make it anew")
    try:
        for name in names:
            profile.load(name, shelf)
    except SettingsError as error:
        raise RefusedError(str(error), hint=error.hint) from error
    mistakes = Mistakes()
    if read_desired(running, mistakes, shelf) is None:
        raise RefusedError(
            f"the running configuration does not run with these profiles: {describe(mistakes)}",
            hint="correct the configuration first, or the profiles",
        )


class ProfileInstaller:
    """Installs released profiles under the running configuration. ``find_good`` names the tags that had a good value
    since a time on the monotonic clock."""

    def __init__(
        self,
        folder: ProfileFolder,
        own: Path,
        applying: Applying,
        clock: SystemClock,
        window_s: float,
        find_good: Callable[[int], frozenset[str]],
    ) -> None:
        self._find_good = find_good
        self._folder = folder
        self._own = own
        self._applying = applying
        self._clock = clock
        self._window_s = window_s

    def version(self) -> str:
        """Return the version that is in place."""
        return self._folder.version()

    async def install(self, tree: Path) -> None:
        """Try a tree of profiles. Raises RefusedError, RolledBackError, or EdgeError if it cannot be tried now."""
        applying = self._applying
        if applying.is_on_trial:
            raise EdgeError("a configuration is on trial", hint="it is offered again")
        await asyncio.to_thread(check, tree, self._own, applying.running_document())
        since_ns = self._clock.mono_ns() - round(self._window_s * NS)
        well, good = find_well(applying.sights() or {}, since_ns), self._find_good(since_ns)
        await asyncio.to_thread(self._folder.put, tree)
        applying.read_anew()
        missing = await self._watch(well, good)
        if missing:
            await asyncio.to_thread(self._folder.take_back)
            applying.read_anew()
            raise RolledBackError(say_missing(missing, self._window_s))
        await asyncio.to_thread(self._folder.settle)

    async def _watch(self, well: tuple[str, ...], good: frozenset[str]) -> tuple[str, ...]:
        """Return which places and tags were well and are not well again at the end of the window.

        Tags are looked at one by one: a wrong register may spoil one value of a device that answers all the same.
        """
        watch: Watch | None = None
        began_ns, seen = 0, frozenset[str]()
        while True:
            await asyncio.sleep(min(LOOK_S, self._window_s))
            sights: Mapping[str, Sight] | None = self._applying.sights()
            if sights is None:
                continue
            now_ns = self._clock.mono_ns()
            if watch is None:
                began_ns, watch = now_ns, Watch(Trial(version=0, well=well), now_ns, round(self._window_s * NS))
            seen |= self._find_good(began_ns)
            verdict = watch.look(sights, now_ns)
            if verdict.is_over:
                lost = {tag for tag in good - seen if tag in self._applying.tag_names()}
                return (*verdict.missing, *sorted(lost))
