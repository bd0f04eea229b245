"""The rules of chains: a TOML file for the command line, kept in the database from then on.

[[chain]]           when: the intensity, and at which stations or how near to what
[[chain.raise]]     an alarm of level commanded, on gateways
[[chain.hurry]]     scan groups that are read more densely for a while
[[chain.inspect]]   a list of places that somebody is to look at
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from fleet.errors import InvalidError
from wire.mandate import GROUPS_MOST, HURRY_MOST_S

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=500)]
RULES_MOST, STEPS_MOST = 200, 50
S = TypeVar("S", bound=msgspec.Struct)


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a step is for: gateways by name, and those of sites or of sectors that have what the step names."""

    gateways: Texts = ()
    sites: Texts = ()
    sectors: Texts = ()

    @property
    def is_empty(self) -> bool:
        """Whether it names nobody."""
        return not (self.gateways or self.sites or self.sectors)


class Raise(Target, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``alarm`` is of level commanded in the gateways' configurations: ``close-gas:commanded``."""

    alarm: Annotated[str, Meta(pattern=r"^[^\s]{1,240}:commanded\Z")]


class Hurry(Target, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``groups`` are read every ``every_s`` for ``lasts_min``. A device's name stands for all its groups."""

    groups: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=GROUPS_MOST)]
    every_s: Annotated[float, Meta(ge=0.1, le=86_400)]
    lasts_min: Annotated[float, Meta(gt=0, le=HURRY_MOST_S / 60)]


class Inspect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list to be ticked off: sites by key, all sites of sectors, and ``places`` that are no sites of the fleet."""

    title: Text
    sites: Texts = ()
    sectors: Texts = ()
    places: Texts = ()

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing to look at."""
        return not (self.sites or self.sectors or self.places)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One chain. ``intensity`` is that of GB/T 17742 which a station must have measured.

    ``stations`` (``NET.STA``) counts only these. ``within_km`` counts those so near to the site ``site``, or to ``lat``
    and ``lon``. ``questionable``: also a quake fires it that one station alone measured, with questionable quality.
    ``late_min``: a quake that the fleet learns of so long after its onset sets nothing going, and says so.
    ``send_min`` is how long a command is sent to a gateway that does not answer.
    """

    name: Name
    title: Annotated[str, Meta(max_length=200)] = ""
    intensity: Annotated[float, Meta(ge=1, le=12)]
    stations: Texts = ()
    within_km: Annotated[float, Meta(gt=0, le=20_000)] | None = None
    site: Annotated[str, Meta(max_length=63)] = ""
    lat: Annotated[float, Meta(ge=-90, le=90)] | None = None
    lon: Annotated[float, Meta(ge=-180, le=180)] | None = None
    questionable: bool = False
    late_min: Annotated[float, Meta(gt=0, le=7 * 1440)] = 30.0
    send_min: Annotated[float, Meta(gt=0, le=7 * 1440)] = 60.0
    raises: Annotated[tuple[Raise, ...], Meta(max_length=STEPS_MOST)] = msgspec.field(name="raise", default=())
    hurries: Annotated[tuple[Hurry, ...], Meta(max_length=STEPS_MOST)] = msgspec.field(name="hurry", default=())
    inspects: Annotated[tuple[Inspect, ...], Meta(max_length=STEPS_MOST)] = msgspec.field(name="inspect", default=())


def read(text: str) -> list[Rule]:
    """Read the rules of a file. Raises InvalidError that tells every mistake, each with what to write instead."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"not TOML: {error}", hint="correct the file") from error
    mistakes = [f"unknown table '{key}': use [[chain]]" for key in document.keys() - {"chain"}]
    tables = document.get("chain", [])
    if not isinstance(tables, list) or len(tables) > RULES_MOST:
        mistakes.append(f"'chain' must be a list of up to {RULES_MOST} tables: write [[chain]]")
        tables = []
    rules = [rule for number, table in enumerate(tables, 1) if (rule := _read_one(table, number, mistakes))]
    names = [rule.name for rule in rules]
    for rule in rules:
        mistakes += _check(rule)
    mistakes += [f"'{name}' is the name of two chains: give each its own" for name in {*names} if names.count(name) > 1]
    if mistakes:
        raise InvalidError("\n  ".join(["the rules are not usable", *mistakes]), hint="correct the file")
    return rules


def _read_one(table: Any, number: int, mistakes: list[str]) -> Rule | None:
    try:
        return msgspec.convert(table, Rule)
    except msgspec.ValidationError as error:
        name = table.get("name", "") if isinstance(table, Mapping) else ""
        mistakes.append(f"[[chain]] {number} '{name}': {str(error).replace('`$.', '`').replace('`object`', 'a table')}")
        return None


def _check(rule: Rule) -> Iterator[str]:
    place = f"[[chain]] '{rule.name}'"
    has_point = rule.lat is not None and rule.lon is not None
    if (rule.lat is None) != (rule.lon is None):
        yield f"{place}: half a position: give lat and lon, or site"
    if rule.within_km is not None and has_point == bool(rule.site):
        yield f"{place}: within_km counts from one place: give site, or lat and lon"
    if rule.within_km is None and (rule.site or has_point):
        yield f"{place}: a place without a distance: add within_km"
    if not (rule.raises or rule.hurries or rule.inspects):
        yield f"{place} sets nothing going: add [[chain.raise]], [[chain.hurry]] or [[chain.inspect]]"
    for step in (*rule.raises, *rule.hurries):
        if step.is_empty:
            yield f"{place}: a step names nobody: give gateways, sites or sectors"
    for one in rule.inspects:
        if one.is_empty:
            yield f"{place}: '{one.title}' names nothing to look at: give sites, sectors or places"
