"""The agent's command line: ``run``, ``check``, and the technician's tools of `edge.tools`."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import fcntl
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from drivers.errors import DriverError, SettingsError
from edge.bundles import find_seed
from edge.enrolment import find_enrolment
from edge.errors import ConfigurationError, EdgeError
from edge.release import RELEASE
from edge.tools.document import UNKNOWN, UNKNOWN_ID, UNKNOWN_URL, explain, load
from edge.tools.terminal import add_json, note, print_json
from edge.updates.opening import find_shelf

EXIT_OK, EXIT_FAULT, EXIT_WRONG_USE = 0, 1, 2

TOOLS: Mapping[str, str] = {
    "enrol": "get this gateway's identity from the fleet, by the claim in enrol.toml",
    "usb": "take what a technician's stick brings, and leave an answer on it",
    "scan": "find the instruments on a line, or the serial ports of this machine",
    "read": "read a tag, a device or a bus once, or registers at an address",
    "write": "set a tag: shows what is there, asks, writes, reads back",
    "watch": "show tags live in a table, polled as the agent polls them",
    "capture": "record the octets of a line, both ways, as a case that a test can replay",
    "console": "answer a technician's laptop at the serial console of this gateway",
    "alarms": "list, acknowledge and shelve the alarms of the agent that runs here",
    "local-code": "make or change the site code that opens the gateway's own page",
    "quake": "measure a recording of strong motion: peaks, intensity, trigger",
    "profile": "list the instruments that are known, show one, or test a profile",
    "template": "list the alarm templates, show the numbers of one and their source, or add one to a configuration",
}
"""Modules of `edge.tools`, each with EXAMPLES, STATUS, add_arguments(parser) and run(options)."""


class LazyParser(argparse.ArgumentParser):
    """A parser that is filled only when its command is called."""

    fill: Callable[[LazyParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Fill the parser, then parse as any does."""
        if self.fill is not None:
            self.fill(self)
        return super().parse_known_args(args, namespace)


def _fill(parser: LazyParser) -> None:
    """Load the tools, of which the agent needs none, and give the parser of one its arguments."""
    from edge.tools import (
        alarms,
        capture,
        console,
        enrol,
        local_code,
        profile,
        quake,
        read,
        scan,
        template,
        usb,
        watch,
        write,
    )

    modules: dict[str, Any] = {
        "alarms": alarms,
        "capture": capture,
        "console": console,
        "enrol": enrol,
        "local-code": local_code,
        "profile": profile,
        "quake": quake,
        "read": read,
        "scan": scan,
        "template": template,
        "usb": usb,
        "watch": watch,
        "write": write,
    }
    tool = modules[parser.prog.rpartition(" ")[2]]
    parser.epilog = f"examples:\n{tool.EXAMPLES}\n\nexit status: 0 {tool.STATUS}; 2 wrong use or a wrong configuration"
    tool.add_arguments(parser)
    add_json(parser)
    parser.set_defaults(command=tool.run, log_level=logging.ERROR)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 fine, 1 a fault, 2 wrong use or a wrong configuration."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else options.log_level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        status: int = options.command(options)
    except (EdgeError, DriverError) as error:
        return _report(error, options)
    except KeyboardInterrupt:
        return EXIT_OK if options.command is _run else EXIT_FAULT
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stderr.close()
        return EXIT_FAULT
    return status


def _report(error: EdgeError | DriverError, options: argparse.Namespace) -> int:
    """Tell an error and its hint, as a sentence and, where JSON is wanted, as its one document."""
    if options.json:
        print_json({"error": str(error), "hint": error.hint})
    is_wrong_use = isinstance(error, ConfigurationError | SettingsError)
    note(str(error) if isinstance(error, ConfigurationError) else f"fengsui-edge: {error}")
    if error.hint:
        note(f"  {error.hint}")
    return EXIT_WRONG_USE if is_wrong_use else EXIT_FAULT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fengsui-edge", description="The agent of a Fengsui gateway, and its tools.")
    parser.add_argument("--version", action="version", version=RELEASE)
    parser.add_argument("-v", "--verbose", action="store_true", help="log every exchange")
    parser.set_defaults(json=False, log_level=logging.INFO)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=LazyParser)
    run = commands.add_parser("run", help="acquire, alarm, spool and hand over until stopped")
    run.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration in TOML")
    run.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the spool and the twin")
    run.add_argument("--enrol", type=Path, metavar="FILE", help="enrol.toml; else the one beside the configuration")
    run.set_defaults(command=_run)
    check = commands.add_parser("check", help="explain every mistake in a configuration")
    check.add_argument("config", type=Path, metavar="FILE", help="configuration in TOML")
    check.set_defaults(command=_check)
    for name, text in TOOLS.items():
        tool = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        tool.fill = _fill
    return parser


def _run(options: argparse.Namespace) -> int:
    import uvloop

    from edge import agent, arriving
    from edge.diagnosis.kept_log import kept_log
    from edge.notify import watched
    from edge.tools import enrol

    faulthandler.enable()  # the launcher ends a hung agent by SIGABRT: the journal then says where it hung
    folder, data = options.config.parent, options.data
    boot, seed = load(options.config, UNKNOWN if options.enrol else None, data)
    enrolment = find_enrolment(options.config, options.enrol, data)
    begins_anew = True
    with _lock(data), kept_log(data), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if enrolment is not None:
            enrol.show_code(enrolment)
        while begins_anew:
            if enrolment is not None:
                is_unknown = boot.gateway.id == UNKNOWN_ID or boot.uplink.url == UNKNOWN_URL
                if is_unknown and enrolment.identity.on_site() is None:
                    runner.run(watched(arriving.arrive(enrolment, boot, data, folder, _say)))
                boot, seed = load(options.config, enrolment.identity.defaults(), data)
                seed = find_seed(enrolment.identity, find_shelf(folder, data)) or seed
            begins_anew = runner.run(watched(agent.run(boot, seed, data, folder, enrolment)))
    return EXIT_OK


def _say(event: str, detail: str) -> None:
    note(f"{event}: {detail}")


def _check(options: argparse.Namespace) -> int:
    boot, configuration = load(options.config)
    print(
        f"{options.config}: fine. Gateway {boot.gateway.id}: buses {len(configuration.buses)}, "
        f"devices {len(configuration.devices)}, tags {len(configuration.tags)}, alarms {len(configuration.alarms)}, "
        f"outputs {len(configuration.outputs)}"
    )
    return EXIT_OK


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


__all__ = ("explain", "load", "main")

if __name__ == "__main__":
    sys.exit(main())
