"""Device profiles: what is known of a kind of instrument, as data. ``drivers/profiles/<vendor>_<model>.toml``.

A profile holds device defaults, scan groups and tags in the form a configuration file uses, so that a device that
names a profile reads as if its author had written the profile's lines there. An operator's own profiles lie in a
folder ``profiles`` beside the configuration file, and those of a later release of ours in a folder of the agent's data.
A configuration names a profile and never a path, and of two with one name the released one is meant before the
installed one, and that before the operator's: a configuration that came over the network reads no file but those.
"""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from drivers.errors import SettingsError

SUFFIX = ".toml"

OWN_FOLDER = "profiles"
"""What the folder of an operator's own profiles is called, beside the configuration file."""
RELEASED_FOLDER = "profiles"
"""What the folder of released profiles is called, in the agent's data."""

Category = Literal[
    "gas", "level", "flow", "pressure", "climate", "weather", "water", "ground", "power", "output", "fire", "other"
]
"""What an instrument is for: the chapters of the page of supported devices."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One profile file.

    The tables of ``group`` and ``derived`` are those of a device in a configuration file; their tags hold the driver's
    Source fields too.
    """

    name: Annotated[str, Meta(description="what a configuration calls it: the file's name without .toml")]
    vendor: Annotated[str, Meta(min_length=1, description="who makes the instrument; generic if many do")]
    model: Annotated[str, Meta(min_length=1, description="the maker's name for it")]
    title: Annotated[str, Meta(min_length=1, description="name for people, in Chinese")]
    title_en: Annotated[str, Meta(description="name for people, in English")] = ""
    category: Annotated[Category, Meta(description="what it is for")] = "other"
    kind: Annotated[str, Meta(description="the driver that speaks to it")]
    source: Annotated[str, Meta(min_length=1, description="where the register map or frame was published")]
    confirmed: Annotated[
        str, Meta(description="on which instrument it was compared with the display, where and when; empty: on none")
    ] = ""
    device: Annotated[dict[str, Any], Meta(description="defaults for the driver's device settings")] = {}
    site: Annotated[
        dict[str, Any], Meta(description="device settings that every site gives itself, each with an example")
    ] = {}
    group: Annotated[list[dict[str, Any]], Meta(description="scan groups with their tags, alarms, checks and reports")]
    derived: Annotated[list[dict[str, Any]], Meta(description="tags computed from those of the groups")] = []


class Shelf(msgspec.Struct, frozen=True):
    """Where profiles lie beside those that are installed: the operator's ``own``, and those ``released`` since."""

    own: Path | None = None
    released: Path | None = None


INSTALLED_ONLY = Shelf()


def names(shelf: Shelf = INSTALLED_ONLY) -> tuple[str, ...]:
    """List the profiles that a configuration may name."""
    return tuple(sorted({*_found(shelf.released), *installed(), *_found(shelf.own)}))


def installed() -> tuple[str, ...]:
    """List the profiles that are installed."""
    files = (file.name for file in resources.files("drivers.profiles").iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX)))


def load(name: str, shelf: Shelf = INSTALLED_ONLY) -> Profile:
    """Read a released profile, or else an installed one, or else one of the operator's own.

    Raises SettingsError if there is none of that name or it is malformed.
    """
    file = _found(shelf.released).get(name)
    if file is None and name in installed():
        return parse(resources.files("drivers.profiles").joinpath(name + SUFFIX).read_text("utf-8"), name)
    file = file or _found(shelf.own).get(name)
    if file is None:
        raise SettingsError(f"there is no profile '{name}'", hint=f"use one of: {', '.join(names(shelf))}")
    try:
        return parse(file.read_text("utf-8-sig"), name)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"profile '{name}' cannot be read: {error}", hint="save it as UTF-8") from error


def parse(text: str, name: str) -> Profile:
    """Read a profile from its text. Raises SettingsError naming what is wrong."""
    try:
        document = tomllib.loads(text)
        return msgspec.convert({"name": name, **document}, Profile)
    except (ValueError, RecursionError) as error:  # tomllib and msgspec raise kinds of ValueError
        hint = f"fengsui-edge profile test {name}{SUFFIX} explains every mistake in it"
        raise SettingsError(f"profile '{name}': {error}", hint) from error


def _found(folder: Path | None) -> dict[str, Path]:
    """Find the files of a folder by the names of their profiles; no folder that can be read, no profiles."""
    if folder is None or not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        return {}
    return {file.name.removesuffix(SUFFIX): file for file in folder.iterdir() if file.name.endswith(SUFFIX)}
