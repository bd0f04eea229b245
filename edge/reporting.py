"""Report by exception: which readings of a scan are kept and sent. Pure; a heartbeat is a reading, never a resend."""

from __future__ import annotations

import math
from collections.abc import Sequence

from drivers.base import Scan
from edge.quality import NS
from edge.settings import Report
from wire.sample import Value
from wire.twin import TagInfo


class TagReport:
    """What of one tag was reported last, and whether a new reading is to be.

    Between two reports every number is within the deadband of the last one reported, but for ``min_s`` after it.
    """

    __slots__ = ("_at_ns", "_band", "_heartbeat_ns", "_min_ns", "_quality", "_value")

    def __init__(self, report: Report, info: TagInfo) -> None:
        bands = [] if report.deadband is None else [report.deadband]
        if report.deadband_pct is not None and info.low is not None and info.high is not None:
            bands.append((info.high - info.low) * report.deadband_pct / 100)
        self._band = min(bands, default=0.0)
        self._heartbeat_ns = int(report.heartbeat_s * NS)
        self._min_ns = int(report.min_s * NS)
        self._value: Value = None
        self._quality = -1
        self._at_ns = 0

    def is_due(self, value: Value, quality: int, mono_ns: int) -> bool:
        """Take a reading; tell whether it is reported."""
        if (
            quality == self._quality
            and mono_ns - self._at_ns < self._heartbeat_ns
            and not self._has_changed(value, mono_ns)
        ):
            return False
        self._value, self._quality, self._at_ns = value, quality, mono_ns
        return True

    def _has_changed(self, value: Value, mono_ns: int) -> bool:
        last = self._value
        if isinstance(value, str | bool | None) or isinstance(last, str | bool | None):
            return value != last
        if value == last or (math.isnan(value) and math.isnan(last)):
            return False
        return not abs(value - last) <= self._band and mono_ns - self._at_ns >= self._min_ns


class Reporter:
    """The tags of one group. A tag without a rule is reported at every reading."""

    def __init__(self, rules: Sequence[TagReport | None]) -> None:
        self._rules = rules

    def select(self, scan: Scan) -> Sequence[int]:
        """Take a scan; return the columns that are reported."""
        mono_ns = scan.mono_ns
        return [
            index
            for index, (rule, value, quality) in enumerate(zip(self._rules, scan.values, scan.quality, strict=True))
            if rule is None or rule.is_due(value, quality, mono_ns)
        ]
