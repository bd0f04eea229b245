"""Replays a case, and tells whether the same comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from drivers.base import Driver, Polled, Scan, Streaming
from drivers.errors import DriverError
from drivers.replay import Replay, parse_capture
from edge.case_file import Case, replay_settings
from wire.sample import Value

REPLAY_S = 10.0


class Replayed(msgspec.Struct, frozen=True):
    """What came of a replay: scans, the class of the error that it ended in, and how many frames were garbled."""

    scans: list[Scan]
    error: str
    faults: int


async def checked(case: Case) -> Case:
    """Replay a case and note whether the same comes of it."""
    came = await replay(case, REPLAY_S)
    same = columns(came.scans) == columns(case.scans)
    return msgspec.structs.replace(case, replays=same and came.error == case.error)


def columns(scans: Sequence[Scan]) -> list[tuple[str, tuple[Value, ...], tuple[int, ...]]]:
    """What two replays of the same octets have in common: all but the time."""
    return [(scan.group, scan.values, scan.quality) for scan in scans]


async def replay(case: Case, most_s: float) -> Replayed:
    """Give the octets of a case to a driver of its own. Never raises what a driver does."""
    kind = case.bus.kind
    settings = msgspec.convert(replay_settings(case.bus), kind.settings)
    driver = kind.build(settings, case.groups, line=Replay(parse_capture(case.line)))
    got: list[Scan] = []
    ended = ""
    try:
        async with asyncio.timeout(most_s):
            await driver.open()
            await _replay(driver, case, got)
    except (DriverError, ValueError, TimeoutError) as error:  # ValueError: another request than the one written down
        ended = type(error).__name__
    finally:
        await driver.close()
    return Replayed(got, ended, int(getattr(driver, "faults", 0)))


async def _replay(driver: Driver, case: Case, got: list[Scan]) -> None:
    groups = {group.name: group for group in case.groups}
    if isinstance(driver, Polled):
        names = [scan.group for scan in case.scans] or list(groups)
        for name in names:
            got.append(await driver.read(groups[name]))  # noqa: PERF401 - what came before a fault is kept
    elif isinstance(driver, Streaming):
        stream = driver.scans()
        while len(got) < len(case.scans):
            got.append(await anext(stream))
