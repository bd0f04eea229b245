"""A gateway whose clock is wrong. Its monotonic clock is the machine's, as the kernel keeps it whatever is set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tests.faults.scene import Fault, Scene

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
JUMPS = ("+0", "-1y", "+1y", "-3600", "+0.5d", "@1970-01-01 00:00:00", "+0")


def kinds(scene: Scene) -> Mapping[str, Fault]:
    """The faults by name, where libfaketime is installed."""
    if not LIBRARIES:
        return {}
    return {
        "clock-1970": partial(_wrong, scene, ("@1970-01-01 00:00:00",)),
        "clock-a-year-ahead": partial(_wrong, scene, ("+1y",)),
        "clock-a-year-behind": partial(_wrong, scene, ("-1y",)),
        "clock-jumps": partial(_wrong, scene, JUMPS),
    }


async def _wrong(scene: Scene, times: tuple[str, ...]) -> None:
    """The agent starts at the first time, and its clock is set to each of the others while it runs."""
    side = scene.any_gateway
    told = side.folder / "time"
    told.write_text(times[0] + "\n")
    words = (
        f"LD_PRELOAD={LIBRARIES[0]}",
        f"FAKETIME_TIMESTAMP_FILE={told}",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "FAKETIME_CACHE_DURATION=1",
    )
    async with scene.surroundings(side, *words):
        for time in times:
            told.write_text(time + "\n")
            await scene.pause(2, 4)
        await scene.must_go_on(side)
