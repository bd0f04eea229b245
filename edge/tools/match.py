"""Which profile an instrument looks like: each is read, and what comes is judged. Nothing is written.

A value inside the profile's own range is evidence for it, one outside is evidence against it. A zero, a word, a bit or
a value without a range says only that something answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from drivers.base import DriverKind, Group, Polled, Scan
from drivers.errors import DriverError, LinkError
from drivers.profile import Profile
from drivers.replay import Replay, Step
from edge.errors import ConfigurationError
from edge.settings import Configuration
from edge.tools.acquire import Result, ask, failed, opened, readings
from edge.tools.target import document, read_document
from edge.tools.words import Reading
from wire.sample import Quality, is_bad

ANSWERED, AGAINST, SAYS_SO = 0.25, -1.0, 1.0
"""What an answer without evidence, a value out of range, and the instrument's own name weigh; a value in range: 1."""

SHOWN = 3


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """How well one profile fits. ``score`` is 1 at best and below 0 if more speaks against it."""

    profile: str
    vendor: str
    model: str
    title: str
    score: float
    fitting: int
    """Values inside the profile's range, and not zero."""
    named: bool = False
    """Whether the instrument says the model of itself."""
    tags: int
    values: list[Reading]


class Candidate(msgspec.Struct, frozen=True):
    """A profile as a device that may be there."""

    profile: Profile
    configuration: Configuration

    @property
    def groups(self) -> list[Group]:
        """Its scan groups."""
        return [scan_group.group for bus in self.configuration.buses for scan_group in bus.groups]


def candidates(
    known: Iterable[Profile], kind: DriverKind, url: str, bus: Mapping[str, Any], device: Mapping[str, Any]
) -> list[Candidate]:
    """List what the instrument may be. A profile that does not fit this line at all is left out."""
    found = []
    for profile in known:
        try:
            read = read_document(document(kind, url, profile, bus, {**device, "name": profile.name}))
        except ConfigurationError:
            continue
        found.append(Candidate(profile, read))
    return found


async def match_by_asking(
    kind: DriverKind,
    settings: msgspec.Struct,
    url: str,
    possible: Sequence[Candidate],
    identity: Mapping[str, str],
    tell: Callable[[int], None],
) -> list[Match]:
    """Read every group of every profile at one instrument, and return the best matches. Raises LinkError."""
    groups = [group for candidate in possible for group in candidate.groups]
    driver = kind.build(settings, groups)
    results: list[Result] = []
    async with opened(driver, url):
        assert isinstance(driver, Polled)
        async for result in ask(driver, groups):
            results.append(result)
            tell(len(results))
    return best(possible, results, identity)


async def match_what_was_heard(
    kind: DriverKind, settings: msgspec.Struct, possible: Sequence[Candidate], data: bytes
) -> list[Match]:
    """Let the drivers of instruments that speak by themselves read what was heard on a line."""
    matches: list[Match] = []
    for candidate in possible:
        line = Replay((Step(False, data),), hangs_up=True)
        driver = kind.build(settings, candidate.groups, line=line)
        heard: dict[str, Scan] = {}
        try:
            await driver.open()
            async for scan in driver.scans():  # type: ignore[attr-defined] # the caller chose a Streaming one
                heard[scan.group] = scan
        except LinkError:
            pass  # the end of what was heard
        finally:
            await driver.close()
        silent = DriverError("nothing of it was heard")
        results = [
            Result(group, heard[group.name]) if group.name in heard else failed(group, silent)
            for group in candidate.groups
        ]
        matches += best([candidate], results, {}) if heard else []
    return sorted(matches, key=lambda match: -match.score)[:SHOWN]


def best(possible: Iterable[Candidate], results: Sequence[Result], identity: Mapping[str, str]) -> list[Match]:
    """Judge all profiles and keep the best that anything speaks for."""
    by_device: dict[str, list[Result]] = {}
    for result in results:
        by_device.setdefault(result.group.device_name, []).append(result)
    matches = [judge(one, by_device.get(one.profile.name, []), identity) for one in possible]
    return sorted((match for match in matches if match.fitting or match.named), key=lambda match: -match.score)[:SHOWN]


def judge(candidate: Candidate, results: Sequence[Result], identity: Mapping[str, str]) -> Match:
    """Weigh what was read of one profile.

    The sum is set against what the profile could have shown at most and one more, so that of two profiles that fit
    wholly the one with more evidence is the better.
    """
    infos = {tag.name: tag for tag in candidate.configuration.tags}
    read = readings(results, infos)
    most = sum(1.0 if _has_range(infos[each.tag].low, infos[each.tag].high) else ANSWERED for each in read)
    weights = [weigh(each.value, each.code, infos[each.tag].low, infos[each.tag].high) for each in read]
    named = _is_named(candidate.profile, identity)
    return Match(
        profile=candidate.profile.name,
        vendor=candidate.profile.vendor,
        model=candidate.profile.model,
        title=candidate.profile.title,
        score=round((sum(weights) + (SAYS_SO if named else 0.0)) / (most + 1.0), 3),
        fitting=sum(weight == 1.0 for weight in weights),
        named=named,
        tags=len(read),
        values=read,
    )


NOTHING = 1e-12
"""No instrument says so little: these are other numbers, read as a float."""


def weigh(value: object, quality: int, low: float | None, high: float | None) -> float:
    """Say how much one value speaks for the profile that gave its place and range."""
    if quality == Quality.BAD_SENSOR:
        return ANSWERED  # what this profile knows as "no value"
    if is_bad(quality) or value is None:
        return 0.0
    if isinstance(value, bool | str) or not isinstance(value, int | float) or not _has_range(low, high) or value == 0:
        return ANSWERED
    assert low is not None
    assert high is not None
    if abs(value) < NOTHING:
        return AGAINST
    return 1.0 if low <= value <= high else AGAINST


def _has_range(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None


def _is_named(profile: Profile, identity: Mapping[str, str]) -> bool:
    """Tell whether the instrument says the profile's model of itself; a maker alone makes many."""
    said = " ".join(identity.values()).lower()
    return bool(said) and profile.model.lower() in said
