"""The verdict: what the instruments served against what the platform got. Nothing of the product is imported here.

A gateway that is killed loses scans that it had read and not yet stored: nobody can wait for those, and nobody was told
that they are safe. So where an agent was killed, measurements are told apart by seq, which has no holes: what the spool
took must arrive. An instrument that says a thing until it is answered is different: what was answered must arrive
whatever happened. And what is declared lost must be what is missing: no more is asked of a fault that destroys a disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lab.ledger import Ledger
from lab.platform import Book
from lab.report import count_duplicated, missing_scans
from lab.truth import Crossing, Truth

Lane = tuple[str, str, str]
Ranges = Sequence[tuple[int, int]]
LATE_MS = 5000.0
"""An alarm of a gateway with a healthy link is there by then."""
OWN_ALARMS = "spool:"
"""Alarms that a gateway raises of itself have no instrument as their cause."""
CONFIRMED = ("outfall.present", "fire-1.events")
"""Scan groups of instruments that wait to be answered."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is not as it must be; all 0 if nothing is."""

    lost: int
    duplicated: int
    undeclared: int
    raised_twice: int
    missed_alarms: int
    late_alarms: int
    """Of those, the ones that came, and too late."""
    misdeclared: int
    """Declared lost twice, though the platform has them, or to damage that nobody did."""
    repeated: int
    """Readings that an instrument served again, for want of an answer, to an agent that had been killed after it had
    stored them: no key is there twice."""
    declared: int
    """Lost and said so: no fault of the delivery, but told."""


OUTPUT_FAULT = ":output-fault"


class Befallen(msgspec.Struct):
    """What faults did, as far as it excuses something."""

    has_lost_memory: bool = False
    """An agent has lost what it had read and not yet stored."""
    was_restored: bool = False
    """The fleet has forgotten what the platform got, and may declare it lost."""
    was_damaged: bool = False
    """Octets of a spool were changed."""
    was_hostile: bool = False
    """Somebody sent the fleet what is no message."""
    deaf: frozenset[str] = frozenset()
    """Gateways whose agent reached nothing for a while: outputs that it could not switch say so, and rightly."""


class Healthy(msgspec.Struct, frozen=True):
    """A time in which nothing kept the alarms of a gateway, or of any (None), from the fleet. Monotonic ns."""

    gateway: str | None
    from_ns: int
    to_ns: int

    def judges(self, crossing: Crossing) -> bool:
        """Tell whether an alarm began in it, early enough to be there before it was over."""
        is_there = self.gateway in (None, crossing.rule.gateway)
        return is_there and self.from_ns <= crossing.at_ns <= self.to_ns - LATE_MS * 1e6


def find_late(truth: Truth, healthy: Sequence[Healthy]) -> list[Crossing]:
    """List the alarms that came, but later than `LATE_MS` though nothing was in their way."""
    judged = [crossing for crossing in truth.crossings if any(time.judges(crossing) for time in healthy)]
    return [crossing for crossing in judged if crossing.platform_ms is not None and crossing.platform_ms > LATE_MS]


def read(database: str, question: str) -> Sequence[Sequence[Any]]:
    """Ask the fleet's database by SQL of our own. ``database`` is its URL."""
    url = database.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url, connect_args={"timeout": 30.0} if url.startswith("sqlite") else {})
    try:
        with engine.connect() as connection:
            return connection.execute(sa.text(question)).fetchall()
    finally:
        engine.dispose()


def read_declared(database: str) -> dict[Lane, list[tuple[int, int]]]:
    """Read the loss ledger: {(gateway, epoch, lane): ranges of seq}."""
    found: dict[Lane, list[tuple[int, int]]] = {}
    for gateway, epoch, lane, first, last in read(
        database, "SELECT gateway, epoch, lane, first, last FROM loss ORDER BY first"
    ):
        found.setdefault((gateway, epoch, lane), []).append((first, last))
    return found


def count_misdeclared(book: Book, declared: Mapping[Lane, Ranges]) -> int:
    """Count seqs that are declared lost more than once, or though they came."""
    count = 0
    for lane, ranges in declared.items():
        for index, (first, last) in enumerate(ranges):
            came = (last - first + 1) - length(book.missing(lane, first, last))
            twice = length(ranges[:index]) - length(subtract(ranges[:index], [(first, last)]))
            count += came + twice
    return count


def count_raised(database: str, alarm: str) -> int:
    """Count how often an alarm of the fleet's own was raised, of any gateway."""
    ((count,),) = read(database, f"SELECT COUNT(*) FROM alarm_event WHERE kind = 'raised' AND alarm = '{alarm}'")
    return int(count)


def count_quarantined(database: str, *, was_hostile: bool) -> int:
    """Count what the fleet could not read: no fault here garbles what a gateway's own checks let through.

    Records only if somebody sent what is no message (``was_hostile``), else messages, too.
    """
    which = "WHERE seq IS NOT NULL" if was_hostile else ""
    ((count,),) = read(database, f"SELECT COUNT(*) FROM quarantine {which}")
    return int(count)


def count_stored_twice(database: str) -> int:
    """Count records that the fleet stored or counted more than once: the platform, which knows their keys, sees one.

    In one statement: records of what gateways do, and not only instruments, go on coming.
    """
    ((stored, records, counted),) = read(
        database,
        "SELECT COALESCE(SUM(n), 0), COUNT(*), (SELECT COALESCE(SUM(records), 0) FROM tally) FROM"
        " (SELECT COUNT(*) AS n FROM record GROUP BY gateway, epoch, lane, seq) AS identity",
    )
    return max(int(stored), int(counted)) - int(records)


def count_corrupt(database: str) -> int:
    """Count seqs that are declared lost because a spool was damaged."""
    ((count,),) = read(database, "SELECT SUM(last - first + 1) FROM loss WHERE reason = 'corrupt'")
    return int(count or 0)


def read_unbalanced(database: str) -> list[str]:
    """List the gateways and lanes whose own accounts do not balance, by what they last said of themselves."""
    rows = read(database, "SELECT name, health FROM gateway WHERE health IS NOT NULL")
    return [
        f"{name} lane {lane}: {account}"
        for name, health in rows
        for lane, account in (json.loads(health) if isinstance(health, str) else health)["lanes"].items()
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


def count_repeated(ledgers: Sequence[Ledger], book: Book) -> int:
    """Count readings that came in two records because the instrument itself served them twice."""
    return sum(
        number in ledger.repeated
        for ledger in ledgers
        if ledger.group in CONFIRMED
        for number in book.arrivals[ledger.gateway, ledger.counter].again
    )


def find_undeclared(gaps: Mapping[Lane, Ranges], declared: Mapping[Lane, Ranges]) -> dict[Lane, list[tuple[int, int]]]:
    """Return the seqs that never came and that nobody declared."""
    found = {lane: subtract(ranges, declared.get(lane, ())) for lane, ranges in gaps.items()}
    return {lane: ranges for lane, ranges in found.items() if ranges}


def judge(
    ledgers: Sequence[Ledger],
    book: Book,
    database: str,
    truth: Truth,
    healthy: Sequence[Healthy],
    befallen: Befallen,
) -> tuple[Verdict, list[str]]:
    """Count, and say what was found. ``database`` is the URL of the fleet's.

    ``befallen`` says what the faults did that excuses some of it.
    """
    late = find_late(truth, healthy)
    quarantined = count_quarantined(database, was_hostile=befallen.was_hostile)
    twice = [
        alarm
        for alarm in truth.unexplained
        if not alarm.alarm.startswith(OWN_ALARMS)
        and not (alarm.gateway in befallen.deaf and alarm.alarm.endswith(OUTPUT_FAULT))
    ]
    declared = read_declared(database)
    undeclared = find_undeclared(book.gaps(), declared)
    misdeclared = 0 if befallen.was_restored else count_misdeclared(book, declared)
    misdeclared += 0 if befallen.was_damaged else count_corrupt(database)
    unbalanced = read_unbalanced(database)
    stored_twice = count_stored_twice(database)
    told = length(span for ranges in declared.values() for span in ranges)
    missing = {
        ledger.name: missing_scans(ledger, book)
        for ledger in ledgers
        if not befallen.has_lost_memory or ledger.group in CONFIRMED
    }
    repeated = count_repeated(ledgers, book) if befallen.has_lost_memory else 0
    by_counter = length(span for ranges in missing.values() for span in ranges)
    by_seq = length(span for ranges in undeclared.values() for span in ranges)
    words = [f"{lane}: seq {ranges} never came and is not declared" for lane, ranges in undeclared.items()]
    words += [f"{name}: counters {ranges} never came" for name, ranges in missing.items() if ranges]
    words += [f"the accounts do not balance: {line}" for line in unbalanced]
    words += (
        [f"{misdeclared} seqs are declared lost twice, though they came, or to damage that was not done"]
        if misdeclared
        else []
    )
    words += [f"{quarantined} records or messages could not be read by the fleet"] if quarantined else []
    words += [f"the fleet stored or counted {stored_twice} records twice"] if stored_twice else []
    words += [f"alarm {alarm} was due and never reached the platform" for alarm in truth.unreported]
    words += [f"alarm {each.rule.alarm} of {each.rule.gateway} took {each.platform_ms:.0f} ms" for each in late]
    words += [f"alarm {alarm.alarm} of {alarm.gateway} was raised without a cause" for alarm in twice]
    words += book.findings
    verdict = Verdict(
        lost=max(by_seq, by_counter - told, 0) + quarantined,
        duplicated=count_duplicated(ledgers, book) - repeated + stored_twice,
        raised_twice=len(twice),
        undeclared=by_seq + len(unbalanced),
        missed_alarms=len(truth.unreported) + len(late),
        late_alarms=len(late),
        misdeclared=misdeclared,
        repeated=repeated,
        declared=told,
    )
    return verdict, words


def is_complete(book: Book, database: str) -> bool:
    """Tell whether every seq up to the highest of its lane has come, or is declared."""
    gaps = book.gaps()
    return not gaps or not find_undeclared(gaps, read_declared(database))
