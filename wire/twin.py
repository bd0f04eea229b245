"""The configuration twin: what the fleet wants a gateway to run (desired) and what it runs (reported)."""

from __future__ import annotations

from typing import Any

import msgspec


class TagInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a console needs to draw a tag. ``low``/``high``: instrument range; ``limits``: {alarm level: limit}."""

    name: str
    title: str = ""
    unit: str = ""
    device: str = ""
    group: str = ""
    low: float | None = None
    high: float | None = None
    limits: dict[str, float] = {}


class AlarmInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm rule as a console shows it.

    ``level`` is its kind. ``limit`` is None where a kind has none, ``tag`` empty where it watches other alarms.
    ``source`` says where its numbers come from. ``shelve_most_h`` is how long it may be shelved at once, 0 for never.
    """

    name: str
    tag: str
    level: str
    limit: float | None
    priority: int
    title: str = ""
    source: str = ""
    shelve_most_h: float = 0.0
    outputs: tuple[str, ...] = ()


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument on a bus, and the profile it was read with."""

    name: str
    title: str = ""
    bus: str = ""
    profile: str = ""


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration, applied whole or refused with a reason. ``config`` is what the TOML file would hold,
    less the boot settings (gateway, uplink, spool, health)."""

    version: int
    config: dict[str, Any]


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """What runs. ``version`` 0 is the file the gateway was seeded with.

    ``refused``/``reason``: the newest desired version that was not applied, or given up, and why. ``config`` is the
    running configuration in the form of `Desired.config`; the lists describe it for a console. ``commands`` names those
    that the gateway carries out; none without a key to check them by.

    ``trial`` is how the newest trial of a configuration stands: ``on``, ``kept``, ``returned`` (to the last good one),
    or empty if there was none. ``tried`` is the version tried, ``trial_ns`` since when it stands so (UTC; None if the
    time was not known), ``unanswered`` names the buses and devices that never answered in it.

    ``installs`` are the kinds of release that the gateway takes (`wire.update`), none if it has no updater;
    ``hardware`` is the machine they have to be made for, as `platform.machine` names it.
    """

    version: int
    release: str
    title: str = ""
    site: str = ""
    sector: str = ""
    config: dict[str, Any] = {}
    tags: tuple[TagInfo, ...] = ()
    alarms: tuple[AlarmInfo, ...] = ()
    devices: tuple[DeviceInfo, ...] = ()
    refused: int | None = None
    reason: str = ""
    commands: tuple[str, ...] = ()
    trial: str = ""
    tried: int | None = None
    trial_ns: int | None = None
    unanswered: tuple[str, ...] = ()
    installs: tuple[str, ...] = ()
    hardware: str = ""
