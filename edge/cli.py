"""The agent's command line: ``fengsui-edge run`` and ``fengsui-edge check``."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import uvloop

from edge import agent
from edge.configuration import read_boot, read_configuration
from edge.errors import ConfigurationError, EdgeError
from edge.mistakes import Mistakes
from edge.places import find_places, format_place, line_of
from edge.release import RELEASE
from edge.settings import BootSettings, Configuration

EXIT_OK, EXIT_FAULT, EXIT_CONFIGURATION = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 fine, 1 a fault, 2 a wrong configuration."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        status: int = options.command(options)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    except EdgeError as error:
        print(f"fengsui-edge: {error}\n  {error.hint}".rstrip(), file=sys.stderr)
        return EXIT_FAULT
    except KeyboardInterrupt:
        return EXIT_OK
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fengsui-edge", description="The agent of a Fengsui gateway.")
    parser.add_argument("--version", action="version", version=RELEASE)
    parser.add_argument("-v", "--verbose", action="store_true", help="log every exchange")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="acquire, alarm, spool and hand over until stopped")
    run.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration in TOML")
    run.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the spool and the twin")
    run.set_defaults(command=_run)
    check = commands.add_parser("check", help="explain every mistake in a configuration")
    check.add_argument("config", type=Path, metavar="FILE", help="configuration in TOML")
    check.set_defaults(command=_check)
    return parser


def _run(options: argparse.Namespace) -> int:
    boot, seed = load(options.config)
    with _lock(options.data), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(agent.run(boot, seed, options.data, options.config.parent))
    return EXIT_OK


def _check(options: argparse.Namespace) -> int:
    boot, configuration = load(options.config)
    print(
        f"{options.config}: fine. Gateway {boot.gateway.id}: buses {len(configuration.buses)}, "
        f"devices {len(configuration.devices)}, tags {len(configuration.tags)}, alarms {len(configuration.alarms)}, "
        f"outputs {len(configuration.outputs)}"
    )
    return EXIT_OK


def load(path: Path) -> tuple[BootSettings, Configuration]:
    """Read a configuration file. Raises ConfigurationError whose text lists every mistake with its line."""
    text = _read(path)
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except RecursionError as error:
        raise ConfigurationError(f"{path}: lists are nested too deeply\n    write: [[bus]], [[device]], ...") from error
    except ValueError as error:  # tomllib.TOMLDecodeError, or a number with more digits than Python reads
        raise ConfigurationError(f"{path}: not TOML: {error}\n    write: key = value, strings in quotes") from error
    mistakes = Mistakes()
    boot = read_boot(document, mistakes)
    configuration = read_configuration(document, mistakes)
    if boot is None or configuration is None:
        raise ConfigurationError(explain(path, text, mistakes))
    return boot, configuration


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")  # Windows editors put a mark in front
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", hint="name the configuration file") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: not UTF-8\n    save the file as UTF-8") from error


def explain(path: Path, text: str, mistakes: Mistakes) -> str:
    """List the mistakes by line, each with its place and what to write instead."""
    lines = find_places(text)
    found = sorted(mistakes.found, key=lambda mistake: line_of(mistake.place, lines))
    words = []
    for mistake in found:
        words.append(f"{path}:{line_of(mistake.place, lines)}: {format_place(mistake.place)}: {mistake.message}")
        if mistake.hint:
            words.append(f"    {mistake.hint}")
    count = len(found)
    words.append(f"{count} mistake{'s' if count > 1 else ''}. Nothing was started.")
    return "\n".join(words)


def _lock(data: Path) -> IO[str]:
    """Hold the data folder: two agents on one spool would both claim its records."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = (data / "lock").open("w")
    except OSError as error:
        raise EdgeError(
            f"folder {data} cannot be used: {error.strerror}", hint="name one that can be written"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise EdgeError(f"another agent runs on {data}", hint="stop it, or name another --data folder") from None
    return file


if __name__ == "__main__":
    sys.exit(main())
