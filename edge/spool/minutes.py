"""What a tombstone tells of the scans under it: smallest, largest, mean and count of each tag in each minute. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from wire.conversation import Minute
from wire.errors import DecodeError
from wire.record import Layout, ScanRecord, columns_of
from wire.sample import Value, is_bad

MINUTE_NS = 60_000_000_000


class Sums:
    """Adds up scans, minute by minute. A minute begins with UTC's as far as ``offset_ns`` relates the boot to it."""

    def __init__(self, find_layout: Callable[[bytes], Layout | None], offset_ns: int | None) -> None:
        self._find_layout = find_layout
        self._shift_ns = (offset_ns or 0) % MINUTE_NS
        self._found: dict[tuple[bytes, int], list[_Column]] = {}

    def add(self, record: ScanRecord) -> None:
        """Add a scan. One whose columns are not known, or do not fit, counts nowhere: it tells nothing."""
        layout = self._find_layout(record.layout)
        if layout is None:
            return
        try:
            columns = columns_of(record, len(layout.tags))
        except DecodeError:
            return
        begin_ns = record.mono_ns - (record.mono_ns + self._shift_ns) % MINUTE_NS
        row = self._row(record.layout, begin_ns, len(layout.tags))
        for index, column in enumerate(columns):
            quality = record.quality[index] if index < len(record.quality) else 0
            number = _usable(record.values[index], quality)
            if number is not None:
                row[column].add(number, number, number, 1)

    def add_minute(self, minute: Minute) -> None:
        """Add a minute that was summed before."""
        row = self._row(minute.layout, minute.mono_ns, len(minute.counts))
        for column, count, low, high, mean in zip(
            row, minute.counts, minute.lows, minute.highs, minute.means, strict=True
        ):
            if count and low is not None and high is not None and mean is not None:
                column.add(low, high, mean, count)

    def _row(self, layout: bytes, begin_ns: int, width: int) -> list[_Column]:
        key = (layout, begin_ns)
        if key not in self._found:
            self._found[key] = [_Column() for _ in range(width)]
        return self._found[key]

    def minutes(self) -> list[Minute]:
        """The sums, oldest first; minutes without any usable number are left out."""
        return [
            Minute(
                layout=layout,
                mono_ns=begin_ns,
                counts=tuple(column.count for column in row),
                lows=tuple(column.low if column.count else None for column in row),
                highs=tuple(column.high if column.count else None for column in row),
                means=tuple(column.mean if column.count else None for column in row),
            )
            for (layout, begin_ns), row in sorted(self._found.items(), key=lambda entry: entry[0][1])
            if any(column.count for column in row)
        ]


class _Column:
    __slots__ = ("count", "high", "low", "mean")

    def __init__(self) -> None:
        self.low, self.high, self.mean, self.count = math.inf, -math.inf, 0.0, 0

    def add(self, low: float, high: float, mean: float, count: int) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.count += count
        self.mean += (mean - self.mean) * count / self.count


def merge(minutes: Iterable[Minute]) -> list[Minute]:
    """Put minutes of several tombstones together, each begin and layout once."""
    sums = Sums(lambda _: None, None)
    for minute in minutes:
        sums.add_minute(minute)
    return sums.minutes()


def _usable(value: Value, quality: int) -> float | None:
    if value is None or isinstance(value, str) or is_bad(quality) or not math.isfinite(value):
        return None
    return float(value)
