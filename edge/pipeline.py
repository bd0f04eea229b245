"""What happens to a scan between driver and alarms, and which of its values are kept.

    scan -> checked scan -> derived scans, checked as well        process: alarms and the live view see all of these
    each of them -> the values that are reported                  thin: only these are stored and sent

A group without checks, derived tags and reports passes through untouched. State begins anew with a configuration.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from drivers.base import Scan
from edge.derive import Deriver
from edge.quality import HOLDS, NS, GroupCheck, Relation
from edge.reporting import Reporter, TagReport
from edge.settings import Check, Configuration
from wire.health import GroupHealth
from wire.record import pack_columns
from wire.sample import Value, is_bad

STALE_POLLS = 2
"""A partner in another group is compared with until it is this many of its polls old,"""
STALE_S = 60.0
"""or this old if nobody knows how often it speaks."""


class Kept(msgspec.Struct, frozen=True):
    """What of a scan is stored, as `wire.record.ScanRecord` has it."""

    values: tuple[Value, ...]
    quality: bytes
    columns: bytes


class Pipeline:
    """All checks, derived tags and reports of a configuration."""

    def __init__(self, configuration: Configuration) -> None:
        columns = configuration.columns
        places = {tag: (group, index) for group, tags in columns.items() for index, tag in enumerate(tags)}
        self._last: dict[str, Scan] = {}
        self._checks = self._make_checks(configuration, places)
        self._derivers: dict[str, list[Deriver]] = defaultdict(list)
        for derived in configuration.derived:
            deriver = Deriver(derived, places)
            for name in derived.inputs:
                self._derivers[name].append(deriver)
        self._due = dict.fromkeys((derived.name for derived in configuration.derived), 0)
        self._good, self._bad = dict(self._due), dict(self._due)
        self._reporters = _make_reporters(configuration)
        self._busy = self._checks.keys() | self._derivers.keys() | self._watched

    def _make_checks(self, configuration: Configuration, places: dict[str, tuple[str, int]]) -> dict[str, GroupCheck]:
        polls = {group.group.name: group.poll_s for bus in configuration.buses for group in bus.groups}
        checks: dict[str, dict[int, Check]] = defaultdict(dict)
        relations: dict[str, list[Relation]] = defaultdict(list)
        for tag, check in configuration.checks.items():
            group, index = places[tag]
            checks[group][index] = check
            for key, holds in HOLDS.items():
                if (partner := getattr(check, key)) is not None:
                    other_group, other = places[f"{tag.partition('.')[0]}.{partner}"]
                    poll_s = polls.get(other_group)
                    age_s = STALE_S if poll_s is None else STALE_POLLS * poll_s
                    relations[group].append(Relation(index, holds, other_group, other, int(age_s * NS)))
        self._watched = {r.group for group, found in relations.items() for r in found if r.group != group}
        return {group: GroupCheck(found, relations[group], self._last) for group, found in checks.items()}

    def process(self, scan: Scan) -> Sequence[Scan]:
        """Check a scan and derive what it completes. Returns the scan as it is to be used, then the derived ones."""
        if scan.group not in self._busy:
            return (scan,)
        checked = self._check(scan)
        made = [checked]
        for deriver in self._derivers.get(scan.group, ()):
            derived = deriver.take(checked)
            if derived is not None:
                self._due[derived.group] += 1
                derived = self._check(derived)
                self._count(derived)
                made.append(derived)
        return made

    def _check(self, scan: Scan) -> Scan:
        check = self._checks.get(scan.group)
        checked = scan if check is None else check.apply(scan)
        if scan.group in self._watched:
            self._last[scan.group] = checked
        return checked

    def _count(self, scan: Scan) -> None:
        counts = self._bad if all(is_bad(quality) for quality in scan.quality) else self._good
        counts[scan.group] += 1

    def groups(self) -> dict[str, GroupHealth]:
        """The accounting of every derived group: due are as many as their inputs completed."""
        return {
            name: GroupHealth(due=due, good=self._good[name], bad=self._bad[name], missed=0)
            for name, due in self._due.items()
        }

    def thin(self, scan: Scan) -> Kept | None:
        """Choose what of a scan is stored; None if nothing is."""
        reporter = self._reporters.get(scan.group)
        if reporter is not None:
            chosen = reporter.select(scan)
            if not chosen:
                return None
            width = len(scan.values)
            if len(chosen) < width:
                quality = bytes(scan.quality[index] for index in chosen)
                values = tuple(scan.values[index] for index in chosen)
                return Kept(values, quality if any(quality) else b"", pack_columns(chosen, width))
        return Kept(scan.values, bytes(scan.quality) if any(scan.quality) else b"", b"")


def _make_reporters(configuration: Configuration) -> dict[str, Reporter]:
    infos = {info.name: info for info in configuration.tags}
    reports = configuration.reports
    return {
        group: Reporter([TagReport(reports[tag], infos[tag]) if tag in reports else None for tag in tags])
        for group, tags in configuration.columns.items()
        if not reports.keys().isdisjoint(tags)
    }
