"""Memory and descriptors of the programs that must run for years: looked at from outside, all the time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec

from lab.errors import LabError
from tests.faults.scene import Scene

LOOK_S = 2.0
MB_MOST = 200.0
DESCRIPTORS_MOST = 200


class Peak(msgspec.Struct):
    """The most that any process of a program held: resident megabytes, and open descriptors."""

    mb: float = 0.0
    descriptors: int = 0

    @property
    def is_bounded(self) -> bool:
        """Whether it stayed within what is allowed."""
        return self.mb <= MB_MOST and self.descriptors <= DESCRIPTORS_MOST


class Watch:
    """Looks until cancelled; ``agent`` and ``ingest`` are what it saw."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.agent, self.ingest = Peak(), Peak()

    async def go_on(self) -> None:
        """Look again and again."""
        while True:
            for side in self._scene.district.gateways:
                if side.agent.is_running:
                    _look(side.agent.pid, self.agent)
            with suppress(LabError):  # it has just been killed
                _look(self._scene.pid("ingest"), self.ingest)
            await asyncio.sleep(LOOK_S)


def _look(pid: int, peak: Peak) -> None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return
    resident = next((line for line in status.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    peak.mb = max(peak.mb, int(resident.split()[1]) / 1024)
    peak.descriptors = max(peak.descriptors, descriptors)
