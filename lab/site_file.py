"""A site's configuration file: the ports filled in, and what the lab itself must know of it read back."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import msgspec

from lab.errors import LabError
from lab.platform import Tag
from lab.truth import Coil, Rule


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
    """Fill in the ports and paths. Raises LabError for one that the file asks for and nobody gave."""
    try:
        return string.Template(read_text(gateway)).substitute({name: str(place) for name, place in places.items()})
    except KeyError as error:
        raise LabError(f"lab/sites/{gateway}.toml asks for {error}, which no instrument offers") from error


def read_identity(text: str) -> Identity:
    """Read who the gateway is."""
    return msgspec.convert(tomllib.loads(text)["gateway"], Identity)


def read_rules(text: str) -> list[Rule]:
    """Read the alarm rules that stand in the file, with the coils their outputs switch."""
    document = tomllib.loads(text)
    gateway = document["gateway"]["id"]
    coils = _coils(document)
    rules = []
    for table in _alarm_tables(document):
        fields = {name: table[name] for name in ("tag", "level", "limit", "deadband", "off_delay_s") if name in table}
        outputs = tuple(coils[output] for output in table.get("outputs", ()))
        rules.append(Rule(gateway=gateway, coils=outputs, **fields))
    return rules


def read_exceptions(text: str) -> frozenset[Tag]:
    """Read which tags are reported by exception."""
    document = tomllib.loads(text)
    gateway = document["gateway"]["id"]
    return frozenset((gateway, f"{device}.{tag['name']}") for device, tag in _tags(document) if "report" in tag)


def _alarm_tables(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for device, tag in _tags(document):
        for alarm in tag.get("alarm", ()):
            yield {**alarm, "tag": f"{device}.{tag['name']}"}
    yield from document.get("alarm", ())


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
