"""The verdict: what the instruments served against what the platform got. Nothing of the product is imported here.

A gateway that is killed loses scans that it had read and not yet stored: nobody can wait for those, and nobody was told
that they are safe. So where an agent was killed, measurements are told apart by seq, which has no holes: what the spool
took must arrive. An instrument that says a thing until it is answered is different: what was answered must arrive
whatever happened. And what is declared lost must be what is missing: no more is asked of a fault that destroys a disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from lab.ledger import Ledger
from lab.platform import Book
from lab.report import count_duplicated, missing_scans
from lab.truth import Truth

Lane = tuple[str, str, str]
Ranges = Sequence[tuple[int, int]]
OWN_ALARMS = "spool:"
"""Alarms that a gateway raises of itself have no instrument as their cause."""
CONFIRMED = ("outfall.present", "fire-1.events")
"""Scan groups of instruments that wait to be answered."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it must be; all 0 if nothing is."""

    lost: int
    duplicated: int
    undeclared: int
    missed_alarms: int
    declared: int
    """Lost and said so: no fault of the delivery, but told."""


def read_declared(database: Path) -> dict[Lane, list[tuple[int, int]]]:
    """Read the loss ledger by SQL of our own: {(gateway, epoch, lane): ranges of seq}."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30.0)
    try:
        found: dict[Lane, list[tuple[int, int]]] = {}
        for gateway, epoch, lane, first, last in connection.execute(
            "SELECT gateway, epoch, lane, first, last FROM loss ORDER BY first"
        ):
            found.setdefault((gateway, epoch, lane), []).append((first, last))
        return found
    finally:
        connection.close()


def count_quarantined(database: Path) -> int:
    """Count records that the fleet could not read: no fault here garbles what a gateway's own checks let through."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30.0)
    try:
        ((count,),) = connection.execute("SELECT COUNT(*) FROM quarantine WHERE seq IS NOT NULL").fetchall()
        return int(count)
    finally:
        connection.close()


def read_unbalanced(database: Path) -> list[str]:
    """List the gateways and lanes whose own accounts do not balance, by what they last said of themselves."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30.0)
    try:
        rows = connection.execute("SELECT name, health FROM gateway WHERE health IS NOT NULL").fetchall()
    finally:
        connection.close()
    return [
        f"{name} lane {lane}: {account}"
        for name, health in rows
        for lane, account in json.loads(health)["lanes"].items()
        if account["assigned"] != account["delivered"] + account["pending"] + account["tombstoned"]
    ]


def subtract(ranges: Ranges, taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what of ``ranges`` is in none of ``taken``."""
    left = list(ranges)
    for first, last in taken:
        pieces: list[tuple[int, int]] = []
        for low, high in left:
            if last < low or first > high:
                pieces.append((low, high))
                continue
            if low < first:
                pieces.append((low, first - 1))
            if high > last:
                pieces.append((last + 1, high))
        left = pieces
    return left


def length(ranges: Iterable[tuple[int, int]]) -> int:
    """Count the numbers in ranges."""
    return sum(last - first + 1 for first, last in ranges)


def find_undeclared(gaps: Mapping[Lane, Ranges], declared: Mapping[Lane, Ranges]) -> dict[Lane, list[tuple[int, int]]]:
    """Return the seqs that never came and that nobody declared."""
    found = {lane: subtract(ranges, declared.get(lane, ())) for lane, ranges in gaps.items()}
    return {lane: ranges for lane, ranges in found.items() if ranges}


def judge(
    ledgers: Sequence[Ledger], book: Book, database: Path, truth: Truth, *, has_lost_memory: bool
) -> tuple[Verdict, list[str]]:
    """Count, and say what was found. ``has_lost_memory``: an agent was killed in one of the trials."""
    quarantined = count_quarantined(database)
    twice = [alarm for alarm in truth.unexplained if not alarm.alarm.startswith(OWN_ALARMS)]
    declared = read_declared(database)
    undeclared = find_undeclared(book.gaps(), declared)
    unbalanced = read_unbalanced(database)
    told = length(span for ranges in declared.values() for span in ranges)
    missing = {
        ledger.name: missing_scans(ledger, book)
        for ledger in ledgers
        if not has_lost_memory or ledger.group in CONFIRMED
    }
    by_counter = length(span for ranges in missing.values() for span in ranges)
    by_seq = length(span for ranges in undeclared.values() for span in ranges)
    words = [f"{lane}: seq {ranges} never came and is not declared" for lane, ranges in undeclared.items()]
    words += [f"{name}: counters {ranges} never came" for name, ranges in missing.items() if ranges]
    words += [f"the accounts do not balance: {line}" for line in unbalanced]
    words += [f"{quarantined} records could not be read by the fleet"] if quarantined else []
    words += [f"alarm {alarm} was due and never reached the platform" for alarm in truth.unreported]
    words += [f"alarm {alarm.alarm} of {alarm.gateway} was raised without a cause" for alarm in twice]
    words += book.findings
    verdict = Verdict(
        lost=max(by_seq, by_counter - told, 0) + quarantined,
        duplicated=count_duplicated(ledgers, book) + len(twice),
        undeclared=by_seq + len(unbalanced),
        missed_alarms=len(truth.unreported),
        declared=told,
    )
    return verdict, words


def is_complete(book: Book, database: Path) -> bool:
    """Tell whether every seq up to the highest of its lane has come, or is declared."""
    gaps = book.gaps()
    return not gaps or not find_undeclared(gaps, read_declared(database))
