"""A survey of one line: listen first, then ask with one line setting after another, then read what was found.

Settings are tried until somebody answers: all instruments of a line share them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from drivers import profile as profiles
from drivers.base import DriverKind, Scannable, Streaming
from drivers.errors import SettingsError
from drivers.profile import Profile
from edge.errors import EdgeError
from edge.tools.asking import (
    BAUDS,
    PARITIES,
    Asking,
    Variant,
    address_of,
    ask_line,
    devices_of,
    listen,
    name_of,
    variants,
)
from edge.tools.interrupt import stop_on_interrupt
from edge.tools.match import Match, candidates, match_by_asking, match_what_was_heard
from edge.tools.target import SHELF, build, is_serial
from edge.tools.terminal import progress

UNITS = (*range(33), 255)
"""What is asked where no units are given; 0 and 255 only where the driver would."""

SERIAL_TIMEOUT_S, SOCKET_TIMEOUT_S = 0.3, 1.0
SAMPLE_OCTETS = 48


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to scan, and how. Empty choices stand for the usual ones."""

    url: str
    kinds: tuple[DriverKind, ...]
    settings: dict[str, Any] = {}
    """Keys of the [[bus]] that are known."""
    names: Mapping[str, str] = {}
    """Names of configured devices, by what `name_of` calls them."""
    units: tuple[int, ...] | None = None
    bauds: tuple[int, ...] | None = None
    parities: tuple[str, ...] | None = None
    timeout_s: float | None = None
    listen_s: float = 3.0
    asks_anyway: bool = False
    matches: bool = True

    @property
    def is_serial(self) -> bool:
        """Whether the line is a serial port."""
        return is_serial(self.url)

    @property
    def asking(self) -> list[DriverKind]:
        """The drivers that can ask who is there."""
        return [kind for kind in self.kinds if hasattr(kind.build, Scannable.identify.__name__)]

    @property
    def speaking(self) -> list[DriverKind]:
        """The drivers of instruments that speak by themselves."""
        return [kind for kind in self.kinds if hasattr(kind.build, Streaming.scans.__name__)]

    def settings_for(self, kind: DriverKind, variant: Variant) -> msgspec.Struct:
        """The driver's settings with one variant. Raises SettingsError."""
        timeout_s = self.timeout_s or (SERIAL_TIMEOUT_S if self.is_serial else SOCKET_TIMEOUT_S)
        table = {**self.settings, "url": self.url, **variant.keys()}
        if "timeout_s" in kind.settings.__struct_fields__:
            table["timeout_s"] = timeout_s
        try:
            return msgspec.convert(table, kind.settings)
        except msgspec.ValidationError as error:
            raise SettingsError(f"{kind.kind}: {error}") from error

    def variants_for(self, kind: DriverKind) -> list[Variant]:
        """The line settings to try. Those of a configured bus are known; only Modbus is set to anything."""
        bauds, parities = self.bauds, self.parities
        first = self.settings_for(kind, Variant())
        if bauds is None and parities is None and (self.settings or kind.kind != "modbus"):
            return [Variant(first.baud, first.parity)] if self.is_serial else [Variant()]  # type: ignore[attr-defined]
        return variants(first, bauds or BAUDS, parities or PARITIES, is_serial=self.is_serial)

    def devices_for(self, kind: DriverKind) -> list[msgspec.Struct]:
        """The devices to ask."""
        return devices_of(kind, self.settings_for(kind, Variant()), self.units or UNITS)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument on the line. ``settings`` and ``device`` are keys as in a configuration."""

    kind: str
    line: str
    settings: dict[str, Any]
    device: dict[str, Any]
    identity: dict[str, str] = {}
    configured_as: str = ""
    matches: list[Match] = []


class Survey(msgspec.Struct, kw_only=True):
    """What came of it."""

    url: str
    found: list[Found] = []
    noise: list[str] = []
    """Where something came that was no answer."""
    failing: list[str] = []
    """Who answers only that it has failed: of a unit that is not there some gateways say so."""
    folds: bool = False
    """Whether the one that was found answers whatever the unit, so that the others were not asked."""
    heard: str = ""
    """The beginning of what was heard before anybody was asked."""
    asked: int = 0
    complete: bool = True


def longest_s(plan: Plan) -> float:
    """How long it takes where nobody answers."""
    timeout_s = plan.timeout_s or (SERIAL_TIMEOUT_S if plan.is_serial else SOCKET_TIMEOUT_S)
    asked = sum(len(plan.variants_for(kind)) * len(plan.devices_for(kind)) for kind in plan.asking)
    return asked * timeout_s + (plan.listen_s if plan.is_serial else 0)


async def run_survey(plan: Plan) -> Survey:
    """Listen, ask, and match what is found with the profiles. Raises LinkError, SettingsError, EdgeError."""
    survey = Survey(url=plan.url)
    async with stop_on_interrupt() as stop:
        asking = Asking(stop)
        if plan.is_serial or plan.speaking:
            await _hear(plan, survey, stop)
        if not survey.found:
            for kind in plan.asking:
                await _ask(plan, kind, survey, asking)
        survey.asked, survey.noise, survey.complete = asking.asked, asking.noise, not stop.is_set()
        survey.failing, survey.folds = asking.failing, asking.folds
    return survey


async def _hear(plan: Plan, survey: Survey, stop: asyncio.Event) -> None:
    """Find instruments that speak by themselves. Raises EdgeError for another master on a line that we would ask."""
    kinds = plan.speaking or plan.kinds[:1]
    tried = list(dict.fromkeys(variant for kind in kinds for variant in plan.variants_for(kind)))
    if plan.is_serial and plan.speaking:
        first = plan.settings_for(kinds[0], Variant())
        tried = list(dict.fromkeys((*tried, *variants(first, BAUDS, PARITIES, is_serial=True))))
    with progress(len(tried), "listening") as bar:
        for done, variant in enumerate(tried):
            bar(done, variant.format())
            settings = plan.settings_for(kinds[0], variant)
            line = build(kinds[0], {"url": plan.url}).make_line(settings)
            data = await listen(line, plan.listen_s, stop, plan.url)
            if not data or stop.is_set():
                return  # whoever speaks is heard at any baud, garbled
            survey.heard = survey.heard or repr(data[:SAMPLE_OCTETS])[2:-1]
            if not plan.speaking:
                break
            for kind in plan.speaking:
                await _match_heard(plan, kind, variant, data, survey)
            if survey.found:
                return
    if plan.asking and not plan.asks_anyway:
        raise EdgeError(
            f"somebody speaks on {plan.url} already: {survey.heard}",
            hint="Asking would disturb another master: disconnect it, or add --anyway. "
            "An instrument that speaks by itself is found by: fengsui-edge scan serial://...",
        )


async def _match_heard(plan: Plan, kind: DriverKind, variant: Variant, data: bytes, survey: Survey) -> None:
    bus = {**variant.keys()}
    settings = plan.settings_for(kind, variant)
    possible = candidates(_profiles_of(kind), kind, plan.url, bus, {})
    matches = await match_what_was_heard(kind, settings, possible, data)
    if matches:
        survey.found.append(
            Found(kind=kind.kind, line=variant.format(), settings=variant.keys(), device={}, matches=matches)
        )


async def _ask(plan: Plan, kind: DriverKind, survey: Survey, asking: Asking) -> None:
    devices, tried = plan.devices_for(kind), plan.variants_for(kind)
    folds = not plan.is_serial and plan.units is None and hasattr(kind.device, "unit")
    with progress(len(tried) * len(devices), "asking") as bar:
        for variant in tried:
            asking.tell = lambda name: bar(asking.asked, f"{variant.format()} {name}".strip())  # noqa: B023 - used now
            settings = plan.settings_for(kind, variant)
            answers = await ask_line(kind, settings, plan.url, devices, asking, folds=folds)
            if asking.stop.is_set() or answers:
                break
    for device, identity in answers:
        matches = await _match(plan, kind, variant, device, identity) if plan.matches else []
        survey.found.append(
            Found(
                kind=kind.kind,
                line=variant.format(),
                settings=variant.keys(),
                device=address_of(device),
                identity=identity,
                configured_as=plan.names.get(name_of(device), ""),
                matches=matches,
            )
        )


async def _match(
    plan: Plan, kind: DriverKind, variant: Variant, device: msgspec.Struct, identity: Mapping[str, str]
) -> list[Match]:
    settings = plan.settings_for(kind, variant)
    possible = candidates(_profiles_of(kind), kind, plan.url, variant.keys(), address_of(device))
    total = sum(len(candidate.groups) for candidate in possible)
    with progress(total, f"reading {name_of(device)}") as bar:
        return await match_by_asking(kind, settings, plan.url, possible, identity, lambda done: bar(done, ""))


def _profiles_of(kind: DriverKind) -> Sequence[Profile]:
    known = [profiles.load(name, SHELF) for name in profiles.names(SHELF)]
    return [profile for profile in known if profile.kind == kind.kind]
