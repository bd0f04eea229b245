"""What runs on this gateway: the file's configuration or the fleet's, tried before it is trusted.

A desired configuration that passed its checks runs at once, on trial (`edge.trial`). If what was well does not get well
again within the window, or the agent does not stay up, the last good one runs again. What is decided is on the disk
before it is done, so that a kill at any moment leaves either state whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from drivers.profile import Shelf
from edge.clock import SystemClock
from edge.configuration import read_desired
from edge.errors import DocumentError
from edge.mistakes import Mistakes
from edge.places import format_place
from edge.settings import Configuration
from edge.store import Store
from edge.trial import STARTS_MOST, Sight, Watch, find_well, say_missing, say_starts
from edge.twin import Twin
from wire.twin import Desired

log = logging.getLogger(__name__)

NS = 1_000_000_000
LOOK_S = 1.0
"""Between two looks at who is well in a trial; so long it waits for a disk that takes nothing, too."""

Sights = Callable[[Configuration], Mapping[str, Sight] | None]
"""How buses and devices look under a configuration, None while it does not run."""


class Applying:
    """Which ``configuration`` runs. ``changed`` is set whenever that is another one."""

    def __init__(
        self,
        seed: Configuration,
        twin: Twin,
        store: Store,
        clock: SystemClock,
        shelf: Shelf,
        *,
        window_s: float,
        sights: Sights,
    ) -> None:
        self._seed = seed
        self._twin = twin
        self._store = store
        self._clock = clock
        self._shelf = shelf
        self._window_s = window_s
        self._sights = sights
        self._count_start()
        self.configuration = self._choose()
        self.changed = asyncio.Event()
        self._on_trial = asyncio.Event()
        self._note_trial()

    def _count_start(self) -> None:
        trial = self._twin.trial
        if trial is None:
            return
        try:
            self._twin.count_starts(trial.starts + 1)
            if trial.starts + 1 > STARTS_MOST and self._has_good():
                self._go_back(say_starts(trial.starts + 1))
        except DocumentError as error:
            log.error("that the agent started again in a trial could not be kept: %s", error)

    def _has_good(self) -> bool:
        """Whether the last good configuration acquires anything: to return to one that does not would only silence the
        site, as after the first configuration of a gateway that came with none."""
        config = self._twin.good.config
        return bool(self._seed.buses if config is None else config.get("bus"))

    def _choose(self) -> Configuration:
        """The twin rules once it has a version; the file is only the seed."""
        config = self._twin.config
        if config is None:
            return self._seed
        mistakes = Mistakes()
        configuration = read_desired(config, mistakes, self._shelf)
        if configuration is not None:
            return configuration
        reason = describe(mistakes)
        log.error("configuration version %d does not run on this release: %s", self._twin.version, reason)
        self._store.put_audit("configuration-refused", reason)
        return self._seed

    @property
    def is_on_trial(self) -> bool:
        """Whether a configuration is being judged."""
        return self._twin.trial is not None

    def running_document(self) -> dict[str, Any]:
        """Return the running configuration in the form of `Desired.config`."""
        document: dict[str, Any] = msgspec.msgpack.decode(self.configuration.document)
        return document

    def tag_names(self) -> frozenset[str]:
        """Return the full names of the running configuration's tags."""
        return frozenset(info.name for info in self.configuration.tags)

    def sights(self) -> Mapping[str, Sight] | None:
        """How buses and devices look under the running configuration, None while it does not run."""
        return self._sights(self.configuration)

    def read_anew(self) -> None:
        """Run the same configuration with the profiles as they are now. What does not run with them changes nothing."""
        mistakes = Mistakes()
        configuration = read_desired(self.running_document(), mistakes, self._shelf)
        if configuration is None:
            log.error("the running configuration cannot be read anew: %s", describe(mistakes))
            return
        self._run(configuration)

    def take(self, desired: Desired) -> bool:
        """Try a desired configuration, or refuse it whole with the reason. Returns whether there is news to report."""
        if not self._twin.is_news(desired.version):
            return True
        mistakes = Mistakes()
        configuration = read_desired(desired.config, mistakes, self._shelf)
        try:
            if configuration is None:
                reason = describe(mistakes)
                self._twin.refuse(desired.version, reason)
                self._store.put_audit("configuration-refused", f"version {desired.version}: {reason}")
                log.warning("configuration version %d refused: %s", desired.version, reason)
                return True
            now_ns = self._clock.mono_ns()
            well = find_well(self._sights(self.configuration) or {}, now_ns - round(self._window_s * NS))
            self._twin.accept(desired.version, desired.config, self._clock.wall_at(now_ns), well)
        except DocumentError as error:
            log.error("configuration version %d could not be kept: %s", desired.version, error)
            return False
        log.info("configuration version %d is applied, on trial for %g s", desired.version, self._window_s)
        self._store.put_audit("configured", f"version {desired.version}")
        self._run(configuration)
        return False

    def _run(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._note_trial()
        self.changed.set()

    def _note_trial(self) -> None:
        if self._twin.trial is None:
            self._on_trial.clear()
        else:
            self._on_trial.set()

    async def watch(self, report: Callable[[], None]) -> None:
        """Judge every trial at the end of its window, until cancelled. ``report`` is called after each."""
        while True:
            await self._on_trial.wait()
            tried = self.configuration
            if await self._watch_one(tried):
                report()

    async def _watch_one(self, tried: Configuration) -> bool:
        """Watch one configuration. Returns whether it was judged; another may take its place before."""
        trial, watch = self._twin.trial, None
        while trial is not None and self.configuration is tried:
            await asyncio.sleep(min(LOOK_S, self._window_s))
            sights = self._sights(tried)
            if sights is None or self.configuration is not tried:
                continue
            now_ns = self._clock.mono_ns()
            if watch is None:
                watch = Watch(trial, now_ns, round(self._window_s * NS))
            verdict = watch.look(sights, now_ns)
            if not verdict.is_over:
                continue
            try:
                self._end_trial(verdict.missing, verdict.unanswered)
            except DocumentError as error:
                log.error("the end of a trial could not be kept: %s", error)
                continue
            return True
        return False

    def _end_trial(self, missing: tuple[str, ...], unanswered: tuple[str, ...]) -> None:
        if missing:
            self._go_back(say_missing(missing, self._window_s))
            self._run(self._choose())
            return
        self._twin.keep(self._clock.wall_at(self._clock.mono_ns()), unanswered)
        detail = f"version {self._twin.version}" + (f"; never answered: {', '.join(unanswered)}" if unanswered else "")
        log.info("configuration is kept: %s", detail)
        self._store.put_audit("configuration-kept", detail)
        self._note_trial()

    def _go_back(self, reason: str) -> None:
        tried = self._twin.version
        self._twin.go_back(self._clock.wall_at(self._clock.mono_ns()), reason)
        detail = f"version {tried} is given up, version {self._twin.version} runs: {reason}"
        log.error("configuration returned: %s", detail)
        self._store.put_audit("configuration-returned", detail)

    def leave(self) -> None:
        """Note that the agent was asked to stop: this is no fault of what is on trial."""
        trial = self._twin.trial
        if trial is None:
            return
        try:
            self._twin.count_starts(trial.starts - 1)
        except DocumentError as error:
            log.error("that the agent was asked to stop could not be kept: %s", error)


def describe(mistakes: Mistakes) -> str:
    """Put the mistakes of a configuration into one line for `Reported.reason`."""
    return "; ".join(f"{format_place(m.place)}: {m.message}" for m in mistakes.found[:5])
