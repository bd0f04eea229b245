"""Device profiles: what is known of a kind of instrument, as data. ``drivers/profiles/<vendor>_<model>.toml``.

A profile holds device defaults, scan groups and tags in the form a configuration file uses, so that a device that
names a profile reads as if its author had written the profile's lines there.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

import msgspec

from drivers.errors import SettingsError


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One profile file. ``kind`` names the driver, ``source`` where the register map or frame was published.

    ``device`` holds defaults for the driver's Device model; ``group`` is a list of tables {name, poll_s, tag: [...]},
    each tag {name, title, unit, low, high, alarm: [...], check: {...}, report: {...}} plus the driver's Source fields;
    ``derived`` is a list of tags computed from those.
    """

    name: str
    vendor: str
    model: str
    title: str
    kind: str
    source: str
    device: dict[str, Any] = {}
    group: list[dict[str, Any]]
    derived: list[dict[str, Any]] = []


def names() -> tuple[str, ...]:
    """List the profiles that are installed."""
    files = resources.files("drivers.profiles").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def load(name: str) -> Profile:
    """Read an installed profile. Raises SettingsError if there is none of that name or it is malformed."""
    if name not in names():
        raise SettingsError(f"there is no profile '{name}'", hint=f"use one of: {', '.join(names())}")
    return parse(resources.files("drivers.profiles").joinpath(f"{name}.toml").read_text("utf-8"), name)


def parse(text: str, name: str) -> Profile:
    """Read a profile from its text. Raises SettingsError naming what is wrong."""
    try:
        document = tomllib.loads(text)
        return msgspec.convert({"name": name, **document}, Profile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"profile '{name}': {error}") from error
