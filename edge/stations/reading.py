"""Reads the [[station]] tables of a configuration, and checks what can only be told when all tables are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from edge.draft import Draft, StationDraft, TagDraft
from edge.mistakes import read_struct, suggest
from edge.places import Place
from edge.settings import Device, ScanGroup
from edge.stations.settings import (
    ACCELERATIONS,
    GROUP,
    Channel,
    ChannelEntry,
    CoincidenceEntry,
    Station,
    StationEntry,
    StructureEntry,
    tags_of,
)
from seismic.analyser import RATE_LEAST_HZ
from seismic.errors import SeismicError
from seismic.report import STEEP_DEG, Component
from seismic.settings import AnalyserSettings
from seismic.structure import Structure
from wire.twin import TagInfo

S = TypeVar("S", bound=msgspec.Struct)

COMPONENTS = (1, 3)
"""How many accelerations a vector is made of."""
SENSITIVITY_PART = 1e-8
"""A sensitivity that is further from the instrument's does not give back its counts, of which there are 2^24."""
RATE_PART = 1e-3
"""Two rates that differ by less are the same."""
SPELLINGS = str.maketrans("²", "2")


def read_station(table: Any, place: Place, draft: Draft) -> None:
    """Read a [[station]]: its tags are known from here on."""
    entry = read_struct(StationEntry, table, place, draft.mistakes)
    if entry is None:
        if isinstance(table, dict):
            draft.broken.add(str(table.get("name")))
        return
    if entry.name in draft.devices:
        message = f"'{entry.name}' is the name of a device or another station, too"
        draft.mistakes.add((*place, "name"), message, "give it a name of its own")
        return
    channels = [
        (channel_place, channel)
        for index, one in enumerate(entry.channels)
        if (channel := read_struct(ChannelEntry, one, (channel_place := (*place, "channels", index)), draft.mistakes))
    ]
    station = StationDraft(
        place=place,
        entry=entry,
        channels=channels,
        analyser=read_struct(AnalyserSettings, entry.analyser, (*place, "analyser"), draft.mistakes),
        coincidence=_read_part(CoincidenceEntry, "coincidence", entry.coincidence, place, draft),
        structure=_read_part(StructureEntry, "structure", entry.structure, place, draft),
    )
    draft.stations[entry.name] = station
    read = [draft.devices[device] for _, one in channels if (device := one.tag.partition(".")[0]) in draft.devices]
    bus = read[0].bus if read else ""
    draft.devices[entry.name] = Device(name=entry.name, title=entry.title or entry.code, bus=bus, profile="")
    for tag in tags_of(has_structure=bool(entry.structure)):
        name = f"{entry.name}.{tag.name}"
        info = TagInfo(
            name=name, title=tag.title, unit=tag.unit, device=entry.name, group=GROUP, low=tag.low, high=tag.high
        )
        draft.tags[name] = TagDraft(place=place, info=info, check=None, report=None)


def _read_part(model: type[S], key: str, table: dict[str, Any], place: Place, draft: Draft) -> S | None:
    return read_struct(model, table, (*place, key), draft.mistakes) if table else None


def check_stations(draft: Draft) -> None:
    """Check the stations of a draft, once all of it is read; what is wrong goes to its mistakes."""
    codes: dict[str, str] = {}
    for name, station in draft.stations.items():
        other = codes.setdefault(station.entry.code, name)
        if other != name:
            message = f"station '{other}' is called {station.entry.code}, too: their quakes would be taken for one"
            draft.mistakes.add((*station.place, "station"), message, "give each a code of its own")
        _check_channels(station, draft)
        _check_other("coincidence", station.coincidence.station if station.coincidence else None, name, draft)
        _check_other("structure", station.structure.lower if station.structure else None, name, draft)
        _check_levels(station, draft)


def _check_channels(station: StationDraft, draft: Draft) -> None:
    for key in ("code", "tag"):
        found = Counter(getattr(channel, key) for _, channel in station.channels)
        for value in (value for value, times in found.items() if times > 1):
            message = f"two channels have the {key} '{value}'"
            draft.mistakes.add((*station.place, "channels"), message, "each component is one channel")
    tags = [tag for place, channel in station.channels if (tag := _find_tag(place, channel, draft)) is not None]
    analysed = _analysed(station)
    if len(station.channels) == len(station.entry.channels) and len(analysed) not in COMPONENTS:
        quantity = station.channels[analysed[0]][1].quantity
        message = f"{len(analysed)} channels of {quantity}: a motion is judged by 1 or by 3"
        draft.mistakes.add((*station.place, "channels"), message, "write one for each component of the instrument")
    groups = {f"{tag.info.device}.{tag.info.group}" for tag in tags}
    if len(groups) > 1:
        message = f"channels of different groups: {', '.join(sorted(groups))}"
        hint = "samples of one time come in one group: read all tags of the station in one [[device.group]]"
        draft.mistakes.add((*station.place, "channels"), message, hint)
    elif tags and (group := _find_group(groups.pop(), draft)) is not None:
        _check_rate(station, group, draft)


def _analysed(station: StationDraft) -> tuple[int, ...]:
    """The channels that make the vector: the accelerations, or the velocities where there is none."""
    quantities = [channel.quantity for _, channel in station.channels]
    chosen = "acceleration" if "acceleration" in quantities else "velocity"
    return tuple(index for index, quantity in enumerate(quantities) if quantity == chosen)


def _find_tag(place: Place, channel: ChannelEntry, draft: Draft) -> TagDraft | None:
    tag = draft.tags.get(channel.tag)
    if tag is None:
        if channel.tag.partition(".")[0] not in draft.broken:
            read = [name for name, one in draft.tags.items() if one.bus is not None]
            draft.mistakes.add((*place, "tag"), f"there is no tag '{channel.tag}'", suggest(channel.tag, read))
        return None
    if tag.bus is None:
        message = f"'{channel.tag}' is computed: it holds no samples of an instrument"
        draft.mistakes.add((*place, "tag"), message, "name the tag that the instrument gives")
        return None
    plain = tag.info.unit.translate(SPELLINGS).casefold()
    if plain and plain != channel.unit:
        message = f"'{channel.tag}' is in {tag.info.unit}, not in {channel.unit}"
        draft.mistakes.add((*place, "unit"), message, "write the tag's unit, and counts in one of it as sensitivity")
    known = tag.component.sensitivity if tag.component else channel.sensitivity
    if abs(channel.sensitivity - known) > SENSITIVITY_PART * known:
        message = f"sensitivity = {channel.sensitivity:g}, but a count of '{channel.tag}' is 1/{known:g} of its unit"
        hint = f"write: sensitivity = {known:g}; a calibration changes scale and motion of the tag as well"
        draft.mistakes.add((*place, "sensitivity"), message, hint)
    return tag


def _find_group(name: str, draft: Draft) -> ScanGroup | None:
    """The group of a full name; None where it has mistakes of its own."""
    return next((one for bus in draft.buses.values() for one in bus.groups if one.group.name == name), None)


def _rate_of(station: StationDraft, group: ScanGroup) -> float | None:
    """Samples a second: what the station says, or its device, or how often it is polled."""
    if station.entry.rate_hz is not None:
        return station.entry.rate_hz
    told: float | None = getattr(group.group.device, "rate_hz", None)
    return told if told or group.poll_s is None else 1 / group.poll_s


def _check_rate(station: StationDraft, group: ScanGroup, draft: Draft) -> None:
    place, device = (*station.place, "rate_hz"), group.group.device_name
    rate_hz, told = _rate_of(station, group), getattr(group.group.device, "rate_hz", None)
    if rate_hz is None:
        message = f"'rate_hz' is missing: nothing says how many samples a second '{device}' gives"
        draft.mistakes.add(station.place, message, "add: rate_hz = 100")
    elif told and abs(rate_hz - told) > RATE_PART * told:
        message = f"rate_hz = {rate_hz:g} is not that of device '{device}', which is {told:g}"
        draft.mistakes.add(place, message, "remove it, or correct the device's")
    elif rate_hz < RATE_LEAST_HZ:
        message = f"{rate_hz:g} samples a second are too few: intensity takes frequencies up to 10 Hz"
        draft.mistakes.add(station.place, message, f"have '{device}' give {RATE_LEAST_HZ:g} or more, 100 are usual")
    else:
        station.rate_hz, station.source = rate_hz, group.group


def _check_other(key: str, other: str | None, name: str, draft: Draft) -> None:
    place = (*draft.stations[name].place, key)
    if other == name:
        draft.mistakes.add(place, f"'{key}' names the station itself", "name another [[station]]")
    elif other is not None and other not in draft.stations and other not in draft.broken:
        known = [one for one in draft.stations if one != name]
        draft.mistakes.add(place, f"there is no station '{other}'", suggest(other, known))


def _check_levels(station: StationDraft, draft: Draft) -> None:
    """Two levels are compared sample by sample."""
    lower = draft.stations.get(station.structure.lower) if station.structure else None
    if lower is None or lower is station:
        return
    place = (*station.place, "structure")
    both = (station, lower)
    rates = [one.rate_hz for one in both]
    if 0 not in rates and abs(rates[0] - rates[1]) > RATE_PART * rates[0]:
        message = f"rates that differ: {rates[0]:g} Hz here, {rates[1]:g} Hz at '{lower.entry.name}'"
        draft.mistakes.add(place, message, "set both instruments to one rate")
    if station.structure is None or station.rate_hz == 0:
        return
    compared = _compared(station, station.structure)
    if compared is None:
        message = f"no horizontal channel of acceleration is called '{station.structure.component}'"
        draft.mistakes.add(place, message, "write the code of one, or leave component out")
        return
    try:
        Structure(station.rate_hz, station.structure)
    except SeismicError as error:
        draft.mistakes.add(place, str(error), error.hint or "have the instrument give more, or correct reference_hz")
    ways = [[(one.azimuth, one.dip) for _, one in map(each.channels.__getitem__, _analysed(each))] for each in both]
    if ways[0] != ways[1]:
        message = f"channels that point elsewhere than those of '{lower.entry.name}'"
        draft.mistakes.add(place, message, "let both have the same azimuth and dip, in the same order")


def _compared(station: StationDraft, structure: StructureEntry) -> int | None:
    """Which of the analysed channels is compared with the level below; None if there is none such."""
    analysed = [station.channels[index][1] for index in _analysed(station)]
    horizontal = [
        index
        for index, one in enumerate(analysed)
        if one.quantity == "acceleration" and abs(one.dip) < STEEP_DEG and structure.component in ("", one.code)
    ]
    return horizontal[0] if horizontal else None


def _clips_at(tag: TagDraft) -> int | None:
    return tag.component.clips_at if tag.component else None


def make_stations(draft: Draft) -> Iterator[Station]:
    """Make the stations of a draft in which nothing is wrong."""
    for station in draft.stations.values():
        assert station.source is not None
        assert station.analyser is not None
        entry = station.entry
        yield Station(
            name=entry.name,
            code=entry.code,
            source=station.source.name,
            rate_hz=station.rate_hz,
            channels=tuple(
                Channel(
                    stream=f"{entry.code}.{entry.location}.{channel.code}",
                    column=station.source.tags.index(channel.tag),
                    sensitivity=channel.sensitivity,
                    factor=ACCELERATIONS.get(channel.unit, 1.0),
                    clips_at=_clips_at(draft.tags[channel.tag]),
                    component=Component(
                        name=channel.code,
                        azimuth_deg=channel.azimuth,
                        dip_deg=channel.dip,
                        quantity=channel.quantity,
                    ),
                )
                for _, channel in station.channels
            ),
            analysed=_analysed(station),
            analyser=station.analyser,
            keep_days=entry.keep_days,
            pre_s=entry.pre_s,
            post_s=entry.post_s,
            continuous=entry.continuous,
            coincidence=station.coincidence,
            structure=station.structure,
            compared=_compared(station, station.structure) if station.structure else None,
        )
