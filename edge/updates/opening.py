"""What an agent has for updates: the launcher that runs it, the folder of released profiles, and where releases are."""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from drivers.profile import OWN_FOLDER, RELEASED_FOLDER, Shelf
from edge.applying import Applying
from edge.clock import SystemClock
from edge.enrolment import Enrolment
from edge.errors import EdgeError
from edge.release import RELEASE
from edge.settings import BootSettings
from edge.trust import make_context
from edge.updates.profiles import ProfileFolder, ProfileInstaller
from edge.updates.slots import Slots, find_slots
from edge.updates.updater import Source, Updater
from edge.updates.work import WorkFile


def find_shelf(folder: Path, data: Path) -> Shelf:
    """Return where profiles lie beside the installed ones. ``folder`` is where the configuration file is."""
    return Shelf(folder / OWN_FOLDER, data / RELEASED_FOLDER)


def find_updates(
    boot: BootSettings,
    data: Path,
    folder: Path,
    enrolment: Enrolment | None,
    clock: SystemClock,
    environment: Mapping[str, str] = os.environ,
) -> Updates | None:
    """Return what this agent has for updates, None if none is to come. Raises EdgeError if its root is missing."""
    settings = boot.update
    url = settings.url or (enrolment.url if enrolment else "")
    if not settings.root_file or not url:
        return None
    from edge.fetching.http import Http  # only a gateway that takes releases has the memory for these
    from edge.fetching.source import ReleaseSource

    root = folder / settings.root_file
    if not root.exists():
        raise EdgeError(
            f"[update] root_file {root} is not there", hint="it comes with the installation: release root show"
        )
    if enrolment is not None and not settings.ca_file and not settings.url:
        trust = enrolment.trust(clock)
    else:
        trust = partial(_trust, folder / settings.ca_file if settings.ca_file else None, clock)
    profiles = ProfileFolder(data)
    source = ReleaseSource(
        Http(f"{url.rstrip('/')}/releases", trust),
        root,
        data / "updates",
        release=RELEASE,
        profiles=profiles.version,
        min_free_bytes=settings.min_free_bytes,
    )
    return Updates(boot, data, folder, find_slots(environment), source)


def _trust(ca_file: Path | None, clock: SystemClock) -> ssl.SSLContext:
    return make_context(ca_file, None, None, is_synced=clock.state().quality == "synced", floor_ns=0)


class Updates:
    """Make it once for each run of the agent, before a configuration is read; `close` it at the end."""

    def __init__(self, boot: BootSettings, data: Path, folder: Path, slots: Slots | None, source: Source) -> None:
        self._boot = boot
        self._own = folder / OWN_FOLDER
        self._slots = slots
        self._source = source
        self._profiles = ProfileFolder(data)
        self._file = WorkFile(data / "updates.json")
        self._profiles.mend()

    def make_updater(
        self,
        applying: Applying,
        clock: SystemClock,
        *,
        say: Callable[[str, str], None],
        has_session: Callable[[], bool],
        is_acknowledged: Callable[[], Awaitable[bool]],
        leave: Callable[[], None],
        find_good: Callable[[int], frozenset[str]],
    ) -> Updater:
        """Make the agent's updater."""
        boot = self._boot
        return Updater(
            self._file,
            self._slots,
            self._source,
            boot.update,
            clock,
            release=RELEASE,
            probe=f"{boot.uplink.host}:{boot.uplink.port}",
            say=say,
            sights=applying.sights,
            has_session=has_session,
            is_acknowledged=is_acknowledged,
            profiles=ProfileInstaller(self._profiles, self._own, applying, clock, boot.twin.trial_s, find_good),
            leave=leave,
        )

    def close(self) -> None:
        """Release the files."""
        self._file.close()
