"""The lab's command line: ``fengsui-lab demo`` and ``fengsui-lab trigger``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from lab.control import trigger
from lab.demo import Demo, Outcome
from lab.errors import LabError

DATA = Path("var/demo")
SCENARIOS = ("overfill", "leak", "fire", "flood", "quake", "broker-dies", "link-lost", "fleet-stops", "update")
EXIT_OK, EXIT_SHORT, EXIT_INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 fine, 1 a fault or a shortfall."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except LabError as error:
        print(f"fengsui-lab: {error}\n  {error.hint}".rstrip(), file=sys.stderr)
        return EXIT_SHORT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fengsui-lab", description="A district in a box.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="run four sites, a fleet and a platform until interrupted")
    demo.add_argument("--seconds", type=_seconds, metavar="N", help="run that long, with all scenarios, and report")
    demo.add_argument("--setup-s", type=float, metavar="X", help="how long the set-up took, for the report")
    demo.add_argument("--data", type=Path, default=DATA, metavar="DIR", help=f"folder of the run (default: {DATA})")
    demo.set_defaults(command=_demo)
    fire = commands.add_parser("trigger", help="let something happen in a running demo")
    fire.add_argument("scenario", choices=SCENARIOS)
    fire.add_argument("--data", type=Path, default=DATA, metavar="DIR", help=f"folder of the run (default: {DATA})")
    fire.set_defaults(command=_trigger)
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 5 <= seconds <= 86400:
        raise argparse.ArgumentTypeError("between 5 and 86400")
    return seconds


def _trigger(options: argparse.Namespace) -> int:
    print(trigger(options.data, options.scenario))
    return EXIT_OK


def _demo(options: argparse.Namespace) -> int:
    outcome = asyncio.run(_run(options.data.resolve(), options.seconds, options.setup_s))
    for shortfall in outcome.shortfalls:
        print(f"not as it should be: {shortfall}", file=sys.stderr)
    if outcome.figures is not None:
        print(msgspec.json.encode(outcome.figures).decode(), flush=True)
    elif options.seconds is not None:
        return EXIT_INTERRUPTED
    return EXIT_SHORT if outcome.shortfalls else EXIT_OK


async def _run(folder: Path, seconds: float | None, setup_s: float | None) -> Outcome:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    console = Console(stderr=True, highlight=False)
    with console.status("") as status:
        return await Demo(folder, console, status, stopped).run(seconds, setup_s)


if __name__ == "__main__":
    sys.exit(main())
