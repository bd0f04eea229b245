"""Tests a profile: explains every mistake in its file, then runs it against its cases.

Cases lie in a folder beside the profile that bears its name: ``profiles/mine.toml`` and ``profiles/mine/<case>/``.
`edge.profile_case` tells what a case is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from drivers import profile as profiles
from drivers.base import Driver, DriverKind, find
from drivers.errors import SettingsError
from drivers.profile import Profile
from edge.configuration import read_configuration
from edge.errors import EdgeError
from edge.mistakes import Mistakes, read_struct
from edge.places import find_places, format_place, line_of
from edge.profile_case import Case, case_folders, run_case
from edge.profile_report import ProfileReport
from edge.settings import Configuration

BUS, DEVICE = "line", "device"
"""What the line and the instrument are called while a profile is tested."""

EXAMPLE_URLS = (
    "rtu:///dev/ttyS0",
    "serial:///dev/ttyS0",
    "tcp://127.0.0.1:1",
    "udp://127.0.0.1:1",
    "listen://127.0.0.1:1",
)


def run_profile_test(path: Path, case_folder: Path | None = None) -> ProfileReport:
    """Check a profile's file and run it against its cases.

    ``case_folder`` is one case, or a folder of cases; left out, the folder beside the file that bears its name. Raises
    EdgeError for a file that cannot be read, and for a folder without a case.
    """
    name = path.name.removesuffix(profiles.SUFFIX)
    text = _read(path)
    mistakes = Mistakes()
    profile = read_profile(text, name, mistakes)
    if name in profiles.installed() and not _is_installed(path):
        mistakes.add((), f"an installed profile is called '{name}' and would be used instead", "give the file a name")
    if profile is None or mistakes:
        return ProfileReport(str(path), name, explain(path, text, mistakes))
    folders = case_folders(case_folder or path.with_name(name))
    if case_folder is not None and not folders:
        raise EdgeError(f"{case_folder} holds no case", hint="a case is a folder with case.toml and line.txt")
    cases = tuple(run_case(folder, name, lambda case: _configure_case(profile, case)) for folder in folders)
    return ProfileReport(str(path), name, (), cases)


def read_profile(text: str, name: str, mistakes: Mistakes) -> Profile | None:
    """Read a profile and check it as a device of its driver. Returns None if anything was wrong.

    Places in ``mistakes`` are those of the profile's own text.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        mistakes.add((), f"not TOML: {error}", "write: key = value, strings in quotes")
        return None
    profile = read_struct(Profile, {"name": name, **document}, (), mistakes)
    if profile is not None:
        configure(profile, {}, {}, mistakes)
    return None if mistakes else profile


def configure(
    profile: Profile, settings: Mapping[str, Any], device: Mapping[str, Any], mistakes: Mistakes
) -> Configuration | None:
    """Make a profile the one device on a line, as a configuration file would. ``mistakes`` get the profile's places."""
    try:
        kind = find(profile.kind)
    except SettingsError as error:
        mistakes.add(("kind",), str(error), error.hint)
        return None
    bus = {"name": BUS, "kind": profile.kind, "url": example_url(kind), **settings}
    tables = {"name": DEVICE, "bus": BUS, "group": profile.group, "derived": profile.derived}
    document = {"bus": [bus], "device": [{**profile.device, **profile.site, **device, **tables}]}
    found = Mistakes()
    configuration = read_configuration(document, found)
    for mistake in found.found:
        place = mistake.place[2:]
        table = next((name for name in ("device", "site") if place and place[0] in getattr(profile, name)), None)
        inner = (table, *place) if table else place
        message = mistake.message.removeprefix(f"bus '{BUS}': ").replace(f"{DEVICE}.", "")
        mistakes.add(inner, message, mistake.hint)
    return configuration


def _configure_case(profile: Profile, case: Case) -> Configuration:
    mistakes = Mistakes()
    configuration = configure(profile, case.settings, case.device, mistakes)
    if configuration is None:
        raise ValueError("; ".join(f"{mistake.message} ({mistake.hint})" for mistake in mistakes.found))
    return configuration


def example_url(kind: DriverKind) -> str:
    """Find an address that the driver takes, so that a profile can be checked without a line."""
    driver = cast("type[Driver]", kind.build)
    for url in EXAMPLE_URLS:
        try:
            driver.make_line(msgspec.convert({"url": url}, kind.settings))
        except (SettingsError, msgspec.ValidationError):
            continue
        return url
    return EXAMPLE_URLS[0]


def explain(path: Path, text: str, mistakes: Mistakes) -> tuple[str, ...]:
    """Tell the mistakes by line, each with its place and what to write instead."""
    lines = find_places(text)
    found = sorted(mistakes.found, key=lambda mistake: line_of(mistake.place, lines))
    return tuple(
        f"{path}:{line_of(mistake.place, lines)}: {format_place(mistake.place)}: {mistake.message}"
        + (f"\n    {mistake.hint}" if mistake.hint else "")
        for mistake in found
    )


def _is_installed(path: Path) -> bool:
    return path.resolve().parent == Path(profiles.__file__).resolve().with_name("profiles")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", hint="name the file of a profile") from error
    except UnicodeDecodeError as error:
        raise EdgeError(f"{path} is not UTF-8", hint="save the file as UTF-8") from error
