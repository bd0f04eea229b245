"""Alarm templates: which rules a standard or good practice asks for, as data. ``edge/templates/<name>.toml``.

A technician picks one for a tag, gives what only the site knows, and gets the rules with their source. What a template
makes of a tag is in `edge.expansion`.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from drivers.errors import SettingsError
from edge.mistakes import suggest

SUFFIX = ".toml"
EXTENDS, PARAMETER = "extends", "parameter"

RANGE = "range"
"""What a share is of that is no parameter: the width of the tag's range, ``high`` - ``low``."""

Sector = Literal["any", "chemical", "earthquake", "fireworks", "flood", "pipeline", "weather"]


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A parameter, or so many times it; of a text, the text. ``of`` may also be `RANGE`."""

    of: str
    times: float = 1.0


class Parameter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes into the rules. Without a ``value`` the technician must give it, unless it is ``optional``."""

    title: Annotated[str, Meta(description="name for people, in Chinese")]
    title_en: Annotated[str, Meta(description="name for people, in English")]
    unit: Annotated[str, Meta(description="its unit; empty: that of the tag, or none")] = ""
    value: Annotated[float | str | None, Meta(description="what holds if nothing is given")] = None
    least: Annotated[float | None, Meta(description="the least that may be given")] = None
    most: Annotated[float | None, Meta(description="the most that may be given: what the standard allows")] = None
    choices: Annotated[tuple[str, ...], Meta(description="the words that it may be; without them it is a number")] = ()
    is_tag: Annotated[bool, Meta(description="it is the full name of another tag")] = False
    optional: Annotated[bool, Meta(description="rules that need it are left out where it is not given")] = False
    source: Annotated[str, Meta(description="where its value comes from")] = ""


class RuleTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule. Keys are those of [[alarm]]; a number may be a `Share` of a parameter.

    ``limit`` and ``deadband`` are in the template's unit, or in the tag's where the template has none.
    """

    level: str
    title: str
    title_en: str
    source: Annotated[str, Meta(description="standard and clause, or what else the number comes from")]
    note: Annotated[str, Meta(description="where the other numbers come from, in Chinese")] = ""
    note_en: Annotated[str, Meta(description="the same in English")] = ""
    name: str = ""
    limit: float | Share | None = None
    small_range_limit: Annotated[Share | None, Meta(description="limit where the range does not suit the usual")] = None
    deadband: float | Share | None = None
    priority: Annotated[int, Meta(ge=1, le=4)] = 2
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    window_s: float | Share | None = None
    setpoint: float | Share | None = None
    direction: str | None = None
    equals: float | Share | None = None
    bit: int | Share | None = None
    silent_s: float | Share | None = None
    kind: str | Share | None = None
    wrap: float | Share | None = None
    need: int | Share | None = None

    @property
    def key(self) -> str:
        """What tells it from the other rules of its tag."""
        return self.name or self.level


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One template. ``also`` are units that a tag may have too, and how many of them its own ``unit`` makes.

    A template of several ``tags`` combines an alarm of each.
    """

    name: Annotated[str, Meta(description="what a configuration calls it: the file's name without .toml")]
    title: Annotated[str, Meta(min_length=1, description="name for people, in Chinese")]
    title_en: Annotated[str, Meta(min_length=1, description="name for people, in English")]
    sector: Annotated[Sector, Meta(description="where it is mostly used")]
    source: Annotated[str, Meta(min_length=1, description="standard and clause; (m): general knowledge, to confirm")]
    note: Annotated[str, Meta(description="what to know before it is used, in Chinese")] = ""
    note_en: Annotated[str, Meta(description="the same in English")] = ""
    unit: Annotated[str, Meta(description="unit of its numbers and of the tag; empty: whatever the tag has")] = ""
    also: Annotated[dict[str, float], Meta(description="units that a tag may have too: factor from `unit`")] = {}
    tags: Annotated[int, Meta(ge=1, description="how many tags it takes")] = 1
    fixed: Annotated[tuple[str, ...], Meta(description="keys that nobody may give, for the source rules them out")] = ()
    parameter: dict[str, Parameter] = {}
    rule: Annotated[tuple[RuleTemplate, ...], Meta(min_length=1)]


@functools.cache
def names() -> tuple[str, ...]:
    """List the templates."""
    files = (file.name for file in resources.files("edge.templates").iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX)))


@functools.cache
def load(name: str) -> Template:
    """Read a template. Raises SettingsError if there is none of that name or it is malformed."""
    if name not in names():
        raise SettingsError(f"there is no template '{name}'", hint=suggest(name, names()))
    try:
        return msgspec.convert({"name": name, **_document(name)}, Template)
    except ValueError as error:
        raise SettingsError(f"template '{name}': {error}") from error


def _document(name: str) -> dict[str, Any]:
    """Read a file, on top of the one that it extends: its keys win, its parameters are changed key by key."""
    own = tomllib.loads(resources.files("edge.templates").joinpath(name + SUFFIX).read_text("utf-8"))
    if EXTENDS not in own:
        return own
    base = _document(own.pop(EXTENDS))
    given = own.pop(PARAMETER, {})
    parameters = {key: {**each, **given.pop(key, {})} for key, each in base.get(PARAMETER, {}).items()}
    return {**base, **own, PARAMETER: parameters | given}
