"""Captured conversations as test cases: ``tests/cases/<kind>/<case>/`` holds ``case.toml`` and ``line.txt``."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import Driver, Group, Scan, find
from drivers.replay import Replay, Step, parse_capture

FOLDER = Path(__file__).parent.parent / "cases"
OWN_TAG_KEYS = ("name",)


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One scan that the capture must give; quality is good throughout if left out."""

    group: str
    values: list[Any]
    quality: list[int] = []


class GroupTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    tag: list[dict[str, Any]]
    device: dict[str, Any] = {}


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``case.toml`` says. ``error`` names the class that the read must end in, if no scan is expected."""

    about: str
    settings: dict[str, Any]
    group: list[GroupTable]
    scan: list[Expected] = []
    error: str = ""
    faults: int = 0
    checksum: bool = True
    kind: str = ""
    name: str = ""
    steps: tuple[Step, ...] = ()


def load(folder: Path) -> Case:
    table = tomllib.loads((folder / "case.toml").read_text("utf-8"))
    steps = parse_capture((folder / "line.txt").read_text("utf-8"))
    table |= {"kind": folder.parent.name, "name": folder.name}
    return msgspec.structs.replace(msgspec.convert(table, Case), steps=steps)


def load_all(folder: Path = FOLDER) -> list[Case]:
    return [load(file.parent) for file in sorted(folder.glob("*/*/case.toml"))]


class Clock:
    """Monotonic time that a test can put forward."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return time.monotonic_ns() + self.ahead_ns

    def advance(self, seconds: float) -> None:
        self.ahead_ns += int(seconds * 1e9)


def groups_of(case: Case) -> list[Group]:
    kind = find(case.kind)
    groups = []
    for table in case.group:
        sources = [{k: v for k, v in tag.items() if k not in OWN_TAG_KEYS} for tag in table.tag]
        groups.append(
            Group(
                name=table.name,
                device_name=table.name.partition(".")[0],
                device=msgspec.convert(table.device, kind.device),
                tags=tuple(tag["name"] for tag in table.tag),
                sources=tuple(msgspec.convert(source, kind.source) for source in sources),
            )
        )
    return groups


class Bench:
    """A driver of a case on a replayed line."""

    def __init__(self, case: Case, steps: tuple[Step, ...] | None = None, *, hangs_up: bool = False) -> None:
        kind = find(case.kind)
        self.case = case
        self.clock = Clock()
        self.line = Replay(case.steps if steps is None else steps, hangs_up=hangs_up)
        self.groups = groups_of(case)
        settings = msgspec.convert(case.settings, kind.settings)
        self.driver: Driver = kind.build(settings, self.groups, clock=self.clock, line=self.line)

    async def scans(self) -> list[Scan]:
        """Acquire as many scans as the case expects: polled groups in turn, or what the instrument says."""
        wanted = self.case.scan or [Expected(group.name, []) for group in self.groups]
        if hasattr(self.driver, "read"):
            by_name = {group.name: group for group in self.groups}
            return [await self.driver.read(by_name[scan.group]) for scan in wanted]
        stream = self.driver.scans()  # type: ignore[attr-defined]
        try:
            return [await anext(stream) for _ in wanted]
        finally:
            await stream.aclose()


def columns(scans: list[Scan]) -> list[tuple[str, tuple[Any, ...], tuple[int, ...]]]:
    return [(scan.group, scan.values, scan.quality) for scan in scans]


def expected_columns(case: Case) -> list[tuple[str, tuple[Any, ...], tuple[int, ...]]]:
    """Expected scans in the form of `columns`; TOML has no null, so "none" stands for no value."""
    return [
        (
            scan.group,
            tuple(None if value == "none" else value for value in scan.values),
            tuple(scan.quality or [0] * len(scan.values)),
        )
        for scan in case.scan
    ]
