"""What a rollout is to do, in plain data: which gateways, in which waves, under which rules. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fleet.errors import InvalidError
from fleet.releases.models import KINDS
from fleet.rollouts.windows import Window, read_minute
from wire.conversation import Text

DAY_S = 86_400
TIMEOUT_MOST_S = 30 * DAY_S
ATTEMPTS_MOST = 10
WAVES_MOST = 50
ENTRY_MOST = 256
"""Letters of an entry of a target."""

Obstacle = Literal["retired", "unreported", "installs-not", "hardware", "runs-it"]
"""Why a gateway is left out of a rollout, or cannot take a release."""


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which gateways: those that every list with something in it names. All lists empty: the whole fleet.

    ``releases`` are those of the agent that run now, ``hardware`` machines as gateways report them.
    """

    sites: tuple[str, ...] = ()
    sectors: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()


class Wave(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One wave: these gateways and all of these sites, or ``percent`` of those that no wave before has taken."""

    gateways: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    percent: float | None = None


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Under which conditions a rollout goes on.

    More than ``error_percent`` of the gateways of a wave that have come to an end, once those are ``executed_least``,
    pause it; at least ``success_percent`` of the whole wave let the next one begin. An attempt may take ``timeout_s``;
    ``rate_per_minute`` bounds offers, ``budget_bytes_per_s`` each download, 0 for no bound. ``is_forced`` ignores the
    window.
    """

    error_percent: float = 10.0
    executed_least: int = 10
    success_percent: float = 90.0
    timeout_s: int = 7200
    attempts: int = 3
    rate_per_minute: int = 0
    window: Window | None = None
    budget_bytes_per_s: int = 0
    is_forced: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rollout as its author writes it."""

    name: Text
    kind: str = "agent"
    version: Text
    target: Target = Target()
    waves: tuple[Wave, ...] = ()
    rules: Rules = Rules()


class Candidate(NamedTuple):
    """A gateway, and what it says of itself. ``is_known``: it has reported at least once."""

    name: str
    site: str
    sector: str
    release: str
    installs: Collection[str]
    hardware: str
    is_retired: bool
    is_known: bool


def read_plan(document: Mapping[str, Any]) -> Plan:
    """Read a plan. Raises InvalidError with every mistake: where it is, what, and what to write instead."""
    try:
        plan = msgspec.convert(document, Plan, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidError(f"the rollout cannot be read: {error}", hint="correct that field") from error
    faults = list(find_faults(plan))
    if faults:
        raise InvalidError("; ".join(faults), hint="correct these fields")
    return plan


def find_faults(plan: Plan) -> Iterable[str]:
    """Find what is wrong with a plan that has the right types."""
    if not plan.name.strip():
        yield "name: is empty; write what the rollout is for"
    for place, text in (("name", plan.name), ("version", plan.version)):
        if not text.isprintable():
            yield f"{place}: has a letter that cannot be shown; leave it out"
    if plan.kind not in KINDS:
        yield f"kind: '{plan.kind}' is no kind of release; write one of {', '.join(KINDS)}"
    if len(plan.waves) > WAVES_MOST:
        yield f"waves: {len(plan.waves)} are too many; write {WAVES_MOST} at most"
    for field in msgspec.structs.fields(Target):
        if any(not value or len(value) > ENTRY_MOST for value in getattr(plan.target, field.name)):
            yield f"target.{field.name}: has an entry that is empty or too long; leave it out"
    for number, wave in enumerate(plan.waves):
        yield from _find_wave_faults(f"waves[{number}]", wave)
    yield from _find_rule_faults(plan.rules)
    if plan.rules.window is not None:
        yield from _find_window_faults(plan.rules.window)


def _find_wave_faults(place: str, wave: Wave) -> Iterable[str]:
    is_named = bool(wave.gateways or wave.sites)
    if is_named == (wave.percent is not None):
        yield f"{place}: write either gateways and sites, or percent"
    if wave.percent is not None and not 0 < wave.percent <= 100:
        yield f"{place}.percent: {wave.percent:g} is no share; write more than 0, and 100 at most"


RANGES: Mapping[str, tuple[float, float]] = {
    "error_percent": (0, 100),
    "executed_least": (1, 1_000_000),
    "success_percent": (0, 100),
    "timeout_s": (60, TIMEOUT_MOST_S),
    "attempts": (1, ATTEMPTS_MOST),
    "rate_per_minute": (0, 100_000),
    "budget_bytes_per_s": (0, 10**12),
}
"""{rule: smallest and largest that can be written}."""


def _find_rule_faults(rules: Rules) -> Iterable[str]:
    for name, (least, most) in RANGES.items():
        value = getattr(rules, name)
        if not least <= value <= most:
            yield f"rules.{name}: {value:g} is out of bounds; write {least} to {most}"


def _find_window_faults(window: Window) -> Iterable[str]:
    if not window.weekdays or not set(window.weekdays) <= set(range(1, 8)):
        yield "rules.window.weekdays: write numbers from 1 (Monday) to 7 (Sunday), at least one"
    for name in ("begin", "end"):
        if read_minute(getattr(window, name)) is None:
            yield f"rules.window.{name}: '{getattr(window, name)}' is no time of the day; write HH:MM"
    if window.begin == window.end:
        yield "rules.window.end: is the same as begin; leave the window out for all day"
    try:
        ZoneInfo(window.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        yield f"rules.window.zone: '{window.zone}' is no time zone; write one such as Asia/Shanghai"


def matches(target: Target, candidate: Candidate) -> bool:
    """Tell whether a target names a gateway."""
    wanted = (
        (target.sites, candidate.site),
        (target.sectors, candidate.sector),
        (target.gateways, candidate.name),
        (target.releases, candidate.release),
        (target.hardware, candidate.hardware),
    )
    return all(not names or has in names for names, has in wanted)


def find_obstacle(candidate: Candidate, kind: str, machines: Sequence[Collection[str]]) -> Obstacle | None:
    """Say why a gateway cannot take a release, None if it can. ``machines``: those of each artifact of the version."""
    if candidate.is_retired:
        return "retired"
    if not candidate.is_known and kind != "image":
        return "unreported"
    if kind != "image" and kind not in candidate.installs:
        return "installs-not"
    if candidate.hardware and not any(not made or candidate.hardware in made for made in machines):
        return "hardware"
    return None


def runs_already(candidate: Candidate, kind: str, version: str) -> bool:
    """Tell whether a gateway runs the version now, as far as it reports that."""
    return kind == "agent" and candidate.release == version


def explain(obstacle: Obstacle, candidate: Candidate, kind: str, version: str) -> str:
    """Put an obstacle into words."""
    return {
        "retired": "the gateway is retired",
        "unreported": "the gateway has never reported, so nothing is known of it",
        "installs-not": f"release {candidate.release} of this gateway does not install {kind} by itself",
        "hardware": f"{kind} {version} is not made for {candidate.hardware}",
        "runs-it": f"it runs {version} already",
    }[obstacle]


def split(waves: Sequence[Wave], candidates: Sequence[Candidate], seed: str) -> list[tuple[str, ...]]:
    """Return the names of each wave; what none has taken is a last one, and waves that get none are left out.

    Shares are drawn by the hash of ``seed`` and name: the same each time, and another choice for another release.
    """
    rest = sorted(candidates, key=lambda one: hashlib.sha256(f"{seed} {one.name}".encode()).digest())
    split_up = []
    for wave in waves:
        if wave.percent is None:
            taken = [one for one in rest if one.name in wave.gateways or one.site in wave.sites]
        else:
            taken = rest[: math.ceil(len(rest) * wave.percent / 100)]
        gone = {one.name for one in taken}
        rest = [one for one in rest if one.name not in gone]
        split_up.append(tuple(sorted(gone)))
    split_up.append(tuple(sorted(one.name for one in rest)))
    return [names for names in split_up if names]
