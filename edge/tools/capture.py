"""``fengsui-edge capture``: write down what passes on a line, as a case that a test can replay.

    DIR/<kind>/<bus>/line.txt       the octets, both ways
    DIR/<kind>/<bus>/case.toml      the settings, the groups, and the scans that came of the octets

A group that could not be read has a case of its own, which expects that error: one fault would shift all that follows.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import msgspec

from drivers.base import find
from drivers.recorder import Recorder
from edge.case_file import Case, write_case
from edge.settings import Bus
from edge.tools.acquire import opened, url_of
from edge.tools.interrupt import stop_on_interrupt, wait_for
from edge.tools.recording import record_bus
from edge.tools.target import LINE_OPTIONS, Target, add_target, build, guess_kind, is_address, resolve
from edge.tools.terminal import note, print_json, progress

EXAMPLES = """\
  fengsui-edge capture rs485-1 --for 30 --out case
  fengsui-edge capture rtu:///dev/ttyUSB0 --unit 3 --profile pemtech_pt495 --for 10 --out case
  fengsui-edge capture serial:///dev/ttyUSB1 --kind nmea --listen --for 30 --out case"""

STATUS = "recorded, also if Ctrl-C ended it; 1 something could not be read or does not replay"

SECONDS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("bus", help="a bus, device or tag of the configuration, or an address")
    add_target(parser)
    parser.add_argument("--for", dest="seconds", type=float, default=SECONDS, metavar="S", help="how long (30 s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the cases")
    parser.add_argument("--listen", action="store_true", help="ask nothing: write down what others say")


def run(options: argparse.Namespace) -> int:
    """Record. Returns 1 if something could not be read or a case does not replay."""
    if options.listen:
        cases = [asyncio.run(_listen(*_line_of(options), options.seconds))]
    else:
        cases = asyncio.run(_record(resolve(options.bus, options), options.seconds))
    folders = [write_case(case, options.out) for case in cases]
    if options.json:
        print_json({"cases": [_summary(case, folder) for case, folder in zip(cases, folders, strict=True)]})
    else:
        _show(cases, folders)
    return 1 if any(case.error or not case.replays for case in cases) else 0


def _show(cases: list[Case], folders: list[Path]) -> None:
    for case, folder in zip(cases, folders, strict=True):
        print(f"{folder}: {case.error or f'{len(case.scans)} scans'}, {case.line_count} pieces")
        if not case.replays:
            note("  It does not replay to the same values. Keep it: the octets are what happened.")
    note("Compare the values in case.toml with the display, then say in 'about' what was there.")


def _summary(case: Case, folder: Path) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "kind": case.bus.kind.kind,
        "scans": len(case.scans),
        "error": case.error,
        "replays": case.replays,
    }


async def _record(target: Target, seconds: float) -> list[Case]:
    """Record bus after bus, each for as long."""
    cases: list[Case] = []
    async with stop_on_interrupt() as stop:
        with progress(seconds * len(target.buses), "recording") as bar:
            for order, bus in enumerate(target.buses):
                cases += await record_bus(bus, seconds, stop, lambda done: bar(order * seconds + done, bus.name))  # noqa: B023 - used now
    return cases


def _line_of(options: argparse.Namespace) -> tuple[Bus, str]:
    """The bus to listen to, without groups. Raises ConfigurationError, SettingsError."""
    if not is_address(options.bus):
        bus = resolve(options.bus, options).buses[0]
        return msgspec.structs.replace(bus, groups=()), url_of(bus)
    kind = find(options.kind or guess_kind(options.bus))
    given = {key: getattr(options, key) for key in LINE_OPTIONS if getattr(options, key) is not None}
    table = {"url": options.bus, **given}
    build(kind, table)  # raises, and says what is wrong
    return Bus(name="line", kind=kind, settings=msgspec.convert(table, kind.settings), groups=()), options.bus


async def _listen(bus: Bus, url: str, seconds: float) -> Case:
    """Write down what is said without asking. Raises LinkError."""
    text: list[str] = []
    line = Recorder(bus.kind.build(bus.settings, ()).make_line(bus.settings), text.append)

    async def hear() -> None:
        while True:
            await line.read()

    async with stop_on_interrupt() as stop, opened(line, url):
        task = asyncio.create_task(hear())
        with progress(seconds, "listening"):
            await wait_for(stop, seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return Case(name=f"{bus.name}-heard", bus=bus, line="".join(text))
