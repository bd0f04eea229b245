"""Configuration files on disk: read, and every mistake explained with its line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.profile import OWN_FOLDER, RELEASED_FOLDER, Shelf
from edge.configuration import read_boot, read_configuration
from edge.enrolment import FILE as ENROL_FILE
from edge.errors import ConfigurationError, EdgeError
from edge.mistakes import Mistakes
from edge.places import find_places, format_place, line_of
from edge.settings import BootSettings, Configuration

UNKNOWN_ID, UNKNOWN_URL = "not-yet-enrolled", "mqtts://not-yet-enrolled"
Defaults = Mapping[str, Mapping[str, str]]
UNKNOWN: Defaults = {"gateway": {"id": UNKNOWN_ID}, "uplink": {"url": UNKNOWN_URL}}
"""Stands for what an identity says, where there is none to ask."""


def load(path: Path, defaults: Defaults | None = None, data: Path | None = None) -> tuple[BootSettings, Configuration]:
    """Read a configuration file. Raises ConfigurationError whose text lists every mistake with its line.

    ``defaults`` are settings by table that the file need not give; None for what can be left out beside an
    ``enrol.toml``. ``data`` is the agent's folder, which may hold released profiles.
    """
    return understand(path, _read(path), defaults, data)


def understand(
    path: Path, text: str, defaults: Defaults | None = None, data: Path | None = None
) -> tuple[BootSettings, Configuration]:
    """Take a text for what a configuration file holds, or is about to. Raises ConfigurationError as `load` does."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except RecursionError as error:
        raise ConfigurationError(f"{path}: lists are nested too deeply\n    write: [[bus]], [[device]], ...") from error
    except ValueError as error:  # tomllib.TOMLDecodeError, or a number with more digits than Python reads
        raise ConfigurationError(f"{path}: not TOML: {error}\n    write: key = value, strings in quotes") from error
    if defaults is None:
        defaults = UNKNOWN if (path.parent / ENROL_FILE).exists() else {}
    for table, settings in defaults.items():
        given = document.get(table, {})
        document[table] = {**settings, **given} if isinstance(given, dict) else given
    mistakes = Mistakes()
    boot = read_boot(document, mistakes)
    shelf = Shelf(path.parent / OWN_FOLDER, data / RELEASED_FOLDER if data else None)
    configuration = read_configuration(document, mistakes, shelf)
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
