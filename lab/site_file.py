"""A site's configuration file: the ports filled in, and what the lab itself must know of it read back."""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import msgspec

from edge.alarm_settings import LIMITS
from edge.configuration import read_configuration
from edge.mistakes import Mistakes
from lab.errors import LabError
from lab.platform import Tag
from lab.truth import Coil, Rule

PLACE = re.compile(r"\$\{\w+?(_path)?\}")
"""A port or a path that is left open."""


POSITIONS = {
    "yufu-chem": (29.6187, 106.7712),
    "longxing-weather": (29.6906, 106.8035),
    "shuitu-bridge": (29.7782, 106.5059),
    "yulin-river": (29.7141, 106.8724),
}
"""Where the demo's sites are, in degrees (WGS 84): made up, in the parts of the district that they are named after."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The [gateway] table."""

    id: str
    title: str
    site: str
    sector: str


def read_text(gateway: str) -> str:
    """Read a site's file, the ports left open."""
    return resources.files("lab.sites").joinpath(f"{gateway}.toml").read_text("utf-8")


def render(gateway: str, places: Mapping[str, str | int]) -> str:
    """Fill in the ports and paths of a site's file. Raises LabError for one that it asks for and nobody gave."""
    return fill_in(read_text(gateway), places, f"lab/sites/{gateway}.toml")


def fill_in(text: str, places: Mapping[str, str | int], name: str) -> str:
    """Fill in the ports and paths of a text. Raises LabError for one that it asks for and nobody gave."""
    try:
        return string.Template(text).substitute({key: str(place) for key, place in places.items()})
    except KeyError as error:
        raise LabError(f"{name} asks for {error}, which no instrument offers") from error


def read_identity(text: str) -> Identity:
    """Read who the gateway is."""
    return msgspec.convert(tomllib.loads(text)["gateway"], Identity)


def read_rules(text: str) -> list[Rule]:
    """Read the limits that act on outputs, with the coils that those switch. A template's are those that it makes.

    Whether ports are filled in does not matter.
    """
    document = tomllib.loads(PLACE.sub(lambda place: "/dev/null" if place[1] else "1", text))
    mistakes = Mistakes()
    configuration = read_configuration(document, mistakes)
    if configuration is None:
        raise LabError(f"a site's file is wrong: {mistakes.found[0].message}")
    gateway, coils = document["gateway"]["id"], _coils(document)
    return [
        Rule(
            gateway=gateway,
            tag=rule.tag,
            level=rule.level,
            label=rule.label,
            limit=rule.limit,
            deadband=rule.deadband,
            off_delay_s=rule.off_delay_s,
            coils=tuple(coils[output] for output in rule.outputs),
        )
        for rule in configuration.alarms
        if rule.outputs and rule.level in LIMITS and rule.limit is not None
    ]


def read_exceptions(text: str) -> frozenset[Tag]:
    """Read which tags are reported by exception."""
    document = tomllib.loads(text)
    gateway = document["gateway"]["id"]
    return frozenset((gateway, f"{device}.{tag['name']}") for device, tag in _tags(document) if "report" in tag)


def _coils(document: Mapping[str, Any]) -> dict[str, Coil]:
    """Map each output to the relay module and the coil behind its tag."""
    gateway = document["gateway"]["id"]
    by_tag = {
        f"{device}.{tag['name']}": (f"{gateway}/{device}", tag.get("address", 0)) for device, tag in _tags(document)
    }
    return {output["name"]: by_tag[output["tag"]] for output in document.get("output", ())}


def _tags(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for device in document["device"]:
        for group in device.get("group", ()):
            for tag in group.get("tag", ()):
                yield device["name"], tag
