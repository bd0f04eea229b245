"""``fengsui-edge read``: read a tag, a device or a bus once, or registers at an address."""

from __future__ import annotations

import argparse
import asyncio

from edge.tools.acquire import LISTEN_S, Fault, Result, faults, read_bus, readings, url_of
from edge.tools.target import Target, add_target, resolve
from edge.tools.terminal import note, print_json, print_table, progress
from edge.tools.words import Reading, format_value

EXAMPLES = """\
  fengsui-edge read gd-01
  fengsui-edge read rtu:///dev/ttyUSB0 --unit 3 --profile pemtech_pt495
  fengsui-edge read tcp://10.0.0.5 --function 3 --address 0 --count 10 --type f32 --order CDAB"""

STATUS = "every value is good or uncertain; 1 one is bad, or nothing could be read"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("what", help="tag, device or bus of the configuration, or an address such as tcp://10.0.0.5")
    add_target(parser)
    parser.add_argument(
        "--for", dest="listen_s", type=float, default=LISTEN_S, metavar="S", help="how long to listen (default: 10 s)"
    )


def run(options: argparse.Namespace) -> int:
    """Read and show. Returns 1 if a value is bad."""
    target = resolve(options.what, options)
    results = asyncio.run(_read(target, options.listen_s))
    found, wrong = readings(results, target.tags), faults(results)
    if options.json:
        print_json({"read": found, "faults": wrong})
    else:
        show(found, wrong)
    return 1 if wrong or any(reading.quality == "bad" for reading in found) else 0


async def _read(target: Target, listen_s: float) -> list[Result]:
    results: list[Result] = []
    with progress(len(target.buses), "reading") as show_progress:
        for done, bus in enumerate(target.buses):
            show_progress(done, url_of(bus))
            results += await read_bus(bus, listen_s)
    return results


def show(found: list[Reading], wrong: list[Fault]) -> None:
    """Show readings as a table, then what went wrong."""
    rows = [
        (
            reading.tag,
            format_value(reading.value, reading.unit),
            f"{reading.quality}: {reading.reason}" if reading.reason else reading.quality,
            reading.registers,
            "" if reading.title == reading.tag.partition(".")[2] else reading.title,
        )
        for reading in found
    ]
    print_table(("tag", "value", "quality", "registers", "title"), rows, folds=("quality", "registers", "title"))
    for fault in wrong:
        note(f"{fault.device}: {fault.error}" + (f"\n  {fault.hint}" if fault.hint else ""))
