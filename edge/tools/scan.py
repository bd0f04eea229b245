"""``fengsui-edge scan``: who is on a line, and what does it look like? Without a line: which serial ports are there?"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

import msgspec

from drivers.base import find
from edge.errors import ConfigurationError
from edge.mistakes import suggest
from edge.settings import Bus, Configuration
from edge.tools.acquire import url_of
from edge.tools.asking import PARITIES, name_of, units_of
from edge.tools.match import Match
from edge.tools.ports import list_serial
from edge.tools.survey import Plan, Survey, longest_s, run_survey
from edge.tools.target import add_config, build, guess_kind, is_address, is_serial, load_configuration, takers_of
from edge.tools.terminal import UNBROKEN, format_time, note, note_command, print_folded, print_json, print_table
from edge.tools.words import format_value

EXAMPLES = """\
  fengsui-edge scan
  fengsui-edge scan rtu:///dev/ttyUSB0 --units 1-10
  fengsui-edge scan serial:///dev/ttyUSB1
  fengsui-edge scan tcp://10.0.0.5"""

STATUS = "somebody was found; 1 nobody was"

LISTEN_S = 3.0
TELL_FROM_S = 10.0
NAMED = 4
"""How many of a list are named."""
OPTIONS = ("baud", "parity", "unit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument(
        "bus", nargs="?", default="", help="rtu:///dev/ttyUSB0, tcp://10.0.0.5, or a bus of the configuration"
    )
    add_config(parser)
    parser.add_argument("--kind", help="ask by this driver only")
    parser.add_argument("--units", type=_units, metavar="1-32", help="unit ids to ask (default: 1-32)")
    parser.add_argument("--baud", type=_numbers, metavar="9600,4800", help="baud rates to try (default: the usual)")
    parser.add_argument("--parity", type=_parities, metavar="N,E", help="parities to try (default: N,E,O)")
    parser.add_argument("--timeout", type=float, metavar="S", help="how long an answer may take (default: 0.3)")
    parser.add_argument("--listen", type=float, default=LISTEN_S, metavar="S", help="listen before asking (default: 3)")
    parser.add_argument("--anyway", action="store_true", help="ask although somebody else speaks on the line")
    parser.add_argument("--no-profiles", action="store_true", help="find only: do not read what it looks like")


def _units(text: str) -> tuple[int, ...]:
    try:
        return units_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("write 3, 1-32 or 1,3,8-10: units are 0 to 255") from error


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError("write 9600, or some: 9600,19200") from error


def _parities(text: str) -> tuple[str, ...]:
    found = tuple(text.upper().split(","))
    if not set(found) <= set(PARITIES):
        raise argparse.ArgumentTypeError("write N, E, O, or some of them: N,E")
    return found


def run(options: argparse.Namespace) -> int:
    """Scan and show. Returns 1 if nobody was found."""
    if not options.bus:
        return _list_ports(options.json)
    plan = _plan(options)
    if (most_s := longest_s(plan)) > TELL_FROM_S:
        note(f"At most {format_time(most_s)}, and longer for each one found. Ctrl-C ends it and shows what was found.")
    began = time.monotonic()
    survey = asyncio.run(run_survey(plan))
    if options.json:
        print_json({**msgspec.structs.asdict(survey), "took_s": round(time.monotonic() - began, 1)})
    else:
        show(survey)
    return 0 if survey.found else 1


def _list_ports(as_json: bool) -> int:
    ports = list_serial()
    if as_json:
        print_json({"ports": ports})
    elif ports:
        rows = [(port.path, port.device if port.device != port.path else "", port.what, port.held_by) for port in ports]
        print_table(("port", "now", "what", "in use by"), rows, folds=("what", "in use by"))
        note("Find what is on one:")
        note_command(f"fengsui-edge scan rtu://{ports[0].path}")
    else:
        note("No serial port. Is the adapter plugged in? See: dmesg | tail")
    return 0 if ports else 1


def _plan(options: argparse.Namespace) -> Plan:
    """Read what to scan. Raises ConfigurationError, SettingsError."""
    plan = Plan(
        url=options.bus,
        kinds=(),
        units=options.units,
        bauds=options.baud,
        parities=options.parity,
        timeout_s=options.timeout,
        listen_s=options.listen,
        asks_anyway=options.anyway,
        matches=not options.no_profiles,
    )
    if is_address(options.bus):
        names = [options.kind] if options.kind else _kinds_at(options.bus)
        for name in names:
            build(find(name), {"url": options.bus})  # raises, and says what is wrong with the address
        return msgspec.structs.replace(plan, kinds=tuple(find(name) for name in names))
    bus = _bus(load_configuration(options.config), options.bus)
    groups = [scan_group.group for scan_group in bus.groups]
    known = {name_of(group.device): group.device_name for group in groups}
    settings = msgspec.to_builtins(bus.settings)
    return msgspec.structs.replace(plan, url=url_of(bus), kinds=(bus.kind,), settings=settings, names=known)


def _bus(configuration: Configuration, name: str) -> Bus:
    """The bus of this name. Raises ConfigurationError."""
    for bus in configuration.buses:
        if bus.name == name:
            return bus
        if any(name in {each.group.device_name, *each.group.tags} for each in bus.groups):
            raise ConfigurationError(f"'{name}' is no bus", f"it is on bus '{bus.name}'")
    raise ConfigurationError(f"there is no bus '{name}'", suggest(name, [bus.name for bus in configuration.buses]))


def _kinds_at(url: str) -> list[str]:
    """At a plain serial port anybody may speak; elsewhere the address says which driver is meant."""
    return takers_of(url) if url.startswith("serial:") else [guess_kind(url)]


def show(survey: Survey) -> None:
    """Show who was found and what it looks like, then what to do next."""
    for found in survey.found:
        says = " ".join(found.identity[key] for key in ("vendor", "model", "revision") if key in found.identity)
        where = " ".join(f"{key} {value}" for key, value in found.device.items())
        name = f"({found.configured_as})" if found.configured_as else ""
        print_folded("  ".join(word for word in (found.line, where, name, says and f"says: {says}") if word))
        for match in found.matches:
            _show_match(match)
        if not found.matches:
            print("    like no instrument that has a profile")
    _show_end(survey)


def _show_match(match: Match) -> None:
    reasons = ["it says so itself"] if match.named else []
    reasons += [f"{match.fitting} of {match.tags} values fit"] if match.fitting else []
    print_folded(f"looks like {match.vendor} {match.model} ({', '.join(reasons)})", indent=4)
    values = ", ".join(
        f"{each.tag.partition('.')[2]} {format_value(each.value, each.unit)}".replace(" ", UNBROKEN)
        for each in match.values
        if each.value is not None
    )
    print_folded(f"{match.profile}: {values or 'none of its values can be read'}", indent=8)


def _show_end(survey: Survey) -> None:
    if not survey.complete:
        note("Stopped before the end.")
    if survey.folds:
        note("It answers whatever the unit. If others are behind it, ask for them: --units 1-32")
    if survey.failing:
        note(f"Answered only that they have failed: {_some(survey.failing)}.")
        note("  Behind a gateway or a simulator nobody is there; on a line, look at the instrument itself.")
    if survey.found:
        _show_next(survey)
        return
    if survey.noise:
        note(f"Something came that was no answer, at: {_some(survey.noise)}.")
        note("  Two instruments with one address, wires swapped, or another baud rate.")
    if survey.heard:
        note(f"Heard, but nobody here knows what it is: {survey.heard}")
    if not survey.failing:
        note(f"Nobody answers at {survey.url} ({survey.asked} asked). {_what_to_check(survey.url)}")


def _what_to_check(url: str) -> str:
    serial = "Check power, wires A and B, and baud."
    return serial if is_serial(url) else "Check that it is on, and its units."


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _show_next(survey: Survey) -> None:
    """Tell how to read the one that is known best."""
    if any(found.matches for found in survey.found):
        note("What it looks like is a guess by values in range: compare them with its display.")
    known = max(survey.found, key=lambda found: found.matches[0].score if found.matches else -1.0)
    usual = {field.encode_name: field.default for field in msgspec.structs.fields(find(known.kind).settings)}
    given = {key: value for key, value in known.settings.items() if usual[key] != value} | known.device
    words = [f"--{key} {value}" for key, value in given.items() if key in OPTIONS]
    words += [f"--profile {known.matches[0].profile}" if known.matches else "--address 0 --count 10"]
    note("Read it:")
    note_command(f"fengsui-edge read {survey.url} {' '.join(words)}")
