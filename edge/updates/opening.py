"""What an agent has for updates: the launcher that runs it, the folder of released profiles, and where releases are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from drivers.profile import OWN_FOLDER, RELEASED_FOLDER, Shelf
from edge.applying import Applying
from edge.clock import SystemClock
from edge.release import RELEASE
from edge.settings import BootSettings
from edge.updates.profiles import ProfileFolder, ProfileInstaller
from edge.updates.slots import Slots
from edge.updates.updater import Source, Updater
from edge.updates.work import WorkFile


def find_shelf(folder: Path, data: Path) -> Shelf:
    """Return where profiles lie beside the installed ones. ``folder`` is where the configuration file is."""
    return Shelf(folder / OWN_FOLDER, data / RELEASED_FOLDER)


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
            profiles=ProfileInstaller(self._profiles, self._own, applying, clock, boot.twin.trial_s),
            leave=leave,
        )

    def close(self) -> None:
        """Release the files."""
        self._file.close()
