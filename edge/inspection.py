"""Looks at the running gateway for what `edge.checklist` makes of it."""

from __future__ import annotations

from collections.abc import Mapping

from edge.checklist import Reading, compose, name_tag
from edge.station import Station
from wire.checklist import Check
from wire.twin import TagInfo


class Inspection:
    """`look` as often as anybody may want to know."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._checks: tuple[Check, ...] = ()
        self._known: Mapping[str, TagInfo] = {}
        self._of_device: dict[str, list[TagInfo]] = {}

    def look(self) -> tuple[Check, ...]:
        """Return all checks as they stand. What an instrument gave first stays."""
        station = self._station
        self._sort_tags(station.tags())
        health, running = station.health(), station.running()
        titles = {entry.name: entry.title for entry in running.configuration.outputs} if running else {}
        outputs = {name: (titles.get(name, ""), output) for name, output in health.outputs.items()}
        self._checks = compose(
            health.clock, health.buses, health.groups, station.devices(), outputs, self._read, self._checks
        )
        return self._checks

    def _sort_tags(self, tags: Mapping[str, TagInfo]) -> None:
        if tags is self._known:
            return
        self._known, self._of_device = tags, {}
        for info in tags.values():
            self._of_device.setdefault(info.device, []).append(info)

    def _read(self, device: str) -> dict[str, tuple[Reading, str]]:
        tags = self._of_device.get(device, [])
        found = self._station.readings(tags)
        return {
            name_tag(info): ((found[info.name].value, found[info.name].quality), info.unit)
            for info in tags
            if info.name in found
        }
