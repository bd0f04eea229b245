"""The run's figures: instruments' ledgers against the platform's book, and plain SQL on the fleet's database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from lab.ledger import Ledger, Numbers
from lab.platform import Book, Tag
from lab.quake_watch import Seen
from lab.truth import Truth, percentile

GOOD_BELOW = 0x40
"""Quality octets below are good, as the documentation of the wire says."""
OUTPUT_MS_MOST = 1100.0
ALARM_LANE = "A"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The last line of a timed run. Times are None when nothing was timed."""

    gateways: int
    tags: int
    samples_acquired: int
    samples_committed: int
    samples_relayed: int
    records_lost: int
    records_duplicated: int
    alarms_raised: int
    alarm_to_output_ms_p99: float | None
    alarm_to_platform_ms_p99: float | None
    quake_event_s: float | None
    quake_waveforms_s: float | None
    setup_s: float | None


COMMITTED = """
SELECT count(*) FROM reading JOIN tag ON tag.id = reading.tag_id
WHERE reading.quality < :good_below
  AND tag.gateway || '/' || tag.device || '.' || tag.group_name IN (SELECT value FROM json_each(:groups))
  AND tag.gateway || '/' || tag.name NOT IN (SELECT value FROM json_each(:by_exception))
"""


def count_committed(database: Path, ledgers: Sequence[Ledger], by_exception: Iterable[Tag] = ()) -> int:
    """Count the good readings in the fleet's database, by SQL of our own on a read-only connection.

    Counted are the groups that have a ledger, but for the tags that come by exception.
    """
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30.0)
    given = {
        "good_below": GOOD_BELOW,
        "groups": json.dumps([ledger.name for ledger in ledgers]),
        "by_exception": json.dumps([f"{gateway}/{tag}" for gateway, tag in by_exception]),
    }
    try:
        row = connection.execute(COMMITTED, given).fetchone()
        return int(row[0])
    finally:
        connection.close()


def missing_scans(ledger: Ledger, book: Book) -> list[tuple[int, int]]:
    """List the scans that an instrument served and the platform has not."""
    return ledger.lost(_arrived(ledger, book))


def count_records_lost(ledgers: Sequence[Ledger], book: Book) -> int:
    """Count records that should be at the platform and are not.

    A measurement is missed twice over: its poll counter by the ledger and its seq by the book. The larger count holds.
    Events of lane A are missed by seq alone; a scan that lacks a value that was served counts as lost, too.
    """
    by_counter = sum(_length(missing_scans(ledger, book)) for ledger in ledgers)
    gaps = book.gaps()
    events = sum(_length(ranges) for (_, _, lane), ranges in gaps.items() if lane == ALARM_LANE)
    by_seq = sum(_length(ranges) for (_, _, lane), ranges in gaps.items() if lane != ALARM_LANE)
    thin = sum(arrivals.thin for arrivals in book.arrivals.values())
    return max(by_counter, by_seq) + events + thin


def count_duplicated(ledgers: Sequence[Ledger], book: Book) -> int:
    """Count records that arrived more than once, or that no instrument served."""
    return book.duplicates + sum(ledger.unexpected(_arrived(ledger, book)) for ledger in ledgers)


def gather(
    ledgers: Sequence[Ledger],
    book: Book,
    truth: Truth,
    committed: int,
    quakes: Sequence[Seen],
    setup_s: float | None,
) -> Figures:
    """Put the figures together."""
    return Figures(
        gateways=len({gateway for gateway, _ in book.tags}),
        tags=len(book.tags),
        samples_acquired=sum(ledger.samples for ledger in ledgers),
        samples_committed=committed,
        samples_relayed=book.samples,
        records_lost=count_records_lost(ledgers, book),
        records_duplicated=count_duplicated(ledgers, book),
        alarms_raised=len(book.raised),
        alarm_to_output_ms_p99=_rounded(percentile(truth.output_ms, 0.99)),
        alarm_to_platform_ms_p99=_rounded(percentile(truth.platform_ms, 0.99)),
        quake_event_s=_longest(quake.event_s for quake in quakes),
        quake_waveforms_s=_longest(quake.waveforms_s for quake in quakes),
        setup_s=setup_s,
    )


def _longest(times_s: Iterable[float | None]) -> float | None:
    return max((round(time_s, 2) for time_s in times_s if time_s is not None), default=None)


def find_shortfalls(figures: Figures, ledgers: Sequence[Ledger], book: Book, truth: Truth) -> list[str]:
    """Say what is not as it should be; nothing to say means that the run passed."""
    found = [*_delivery_shortfalls(figures, ledgers, book), *_alarm_shortfalls(figures, truth)]
    if not figures.samples_acquired == figures.samples_committed == figures.samples_relayed:
        found.append(
            f"the counts differ: {figures.samples_acquired} samples served by the instruments, "
            f"{figures.samples_committed} committed by the fleet, {figures.samples_relayed} at the platform"
        )
    return found


def _delivery_shortfalls(figures: Figures, ledgers: Sequence[Ledger], book: Book) -> list[str]:
    found = []
    silent = {ledger.gateway for ledger in ledgers} - {gateway for gateway, _ in book.tags}
    found += [f"{gateway} delivered nothing" for gateway in sorted(silent)]
    for ledger in ledgers:
        if missing := missing_scans(ledger, book):
            found.append(
                f"{ledger.name} lost {_length(missing)} of {ledger.scans} scans: {ledger.counter} {_spans(missing)}"
            )
        if unexpected := ledger.unexpected(_arrived(ledger, book)):
            found.append(f"{ledger.name}: {unexpected} scans arrived that it never served")
    for (gateway, epoch, lane), ranges in book.gaps().items():
        found.append(f"{gateway} epoch {epoch} lane {lane}: seq {_spans(ranges)} never came")
    found += [
        f"{gateway} lane {lane}, hour {hour}: the fleet told of {told} records, {here} came"
        for gateway, lane, hour, told, here in book.short_hours()
    ]
    found += [f"{name[0]}: {entry.thin} scans lack values" for name, entry in book.arrivals.items() if entry.thin]
    if figures.records_duplicated:
        found += [f"{figures.records_duplicated} records duplicated", *book.findings]
    return found


def _alarm_shortfalls(figures: Figures, truth: Truth) -> list[str]:
    found = [f"alarm {alarm} was due and never reached the platform" for alarm in truth.unreported]
    found += [f"coil {coil} of {device} was due and never switched" for device, coil in truth.unswitched]
    found += [f"alarm {alarm.alarm} of {alarm.gateway} arrived without a cause" for alarm in truth.unexplained]
    if not figures.alarms_raised:
        found.append("no alarm reached the platform")
    if figures.alarm_to_output_ms_p99 is not None and figures.alarm_to_output_ms_p99 > OUTPUT_MS_MOST:
        found.append(f"alarm to output took {figures.alarm_to_output_ms_p99:g} ms; the most is {OUTPUT_MS_MOST:g} ms")
    return found


def _arrived(ledger: Ledger, book: Book) -> Numbers:
    return book.arrivals[ledger.gateway, ledger.counter].numbers


def _length(ranges: Sequence[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _spans(ranges: Sequence[tuple[int, int]], most: int = 8) -> str:
    words = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:most]]
    return ", ".join(words) + (f" and {len(ranges) - most} ranges more" if len(ranges) > most else "")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
