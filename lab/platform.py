"""A stand-in for the district's platform: takes what the relay posts, keeps books, and tells gaps from duplicates.

It knows plain JSON and nothing of the product's code, so that its figures are those of an outsider.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from lab.ledger import Numbers, Unwrapped

Tag = tuple[str, str]
"""Gateway, and the tag's full name."""

Lane = tuple[str, str, str]
"""Gateway, epoch and lane: within it, seq runs 1, 2, 3 ..."""

TOLD = 20
"""Most findings of one sort that are kept word by word."""
HANGS_S = 60.0
OF_DELIVERY = ("received_at", "not_before", "not_after")
BODY_MAX_BYTES = 64 * 1024 * 1024

SCHEMA = """
CREATE TABLE record (
    key TEXT PRIMARY KEY, gateway TEXT NOT NULL, epoch TEXT NOT NULL, lane TEXT NOT NULL, seq INTEGER NOT NULL,
    kind TEXT NOT NULL, captured_at TEXT, received_ns INTEGER NOT NULL, digest BLOB NOT NULL
);
CREATE INDEX record_identity ON record (gateway, epoch, lane, seq);
CREATE TABLE told (
    gateway TEXT NOT NULL, lane TEXT NOT NULL, hour TEXT NOT NULL, records INTEGER NOT NULL,
    PRIMARY KEY (gateway, lane, hour)
);
"""


class MalformedError(ValueError):
    """A post that is not what the interface promises. The server answers 400 and keeps nothing of it."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Scans to look for: those of ``gateway`` with the tag ``counter``, ``values`` values each.

    ``by_exception`` are tags that come with some of the scans only, and are not counted.
    """

    gateway: str
    counter: str
    values: int
    by_exception: frozenset[str] = frozenset()


class Arrivals:
    """What has arrived of one stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.counters = Unwrapped()
        self.scans = 0
        self.samples = 0
        self.thin = 0
        self.again: list[int] = []
        """Counters that came in one more record, in full."""

    @property
    def numbers(self) -> Numbers:
        """The counters that arrived, in full."""
        return self.counters.numbers

    def take(self, values: dict[str, Any]) -> bool:
        """Enter a scan; False if its counter was here before."""
        passed_over = self.stream.by_exception
        usable = sum(is_usable(reading) for tag, reading in values.items() if tag not in passed_over)
        if not self.counters.add(int(values[self.stream.counter]["value"])):
            self.again.append(self.counters.last)
            return False
        self.scans += 1
        self.samples += usable
        self.thin += usable < self.stream.values
        return True


class RaisedAlarm(msgspec.Struct, frozen=True):
    """An alarm that arrived as raised, and when (monotonic ns of this machine)."""

    gateway: str
    alarm: str
    at_ns: int


class Book:
    """The platform's memory of records. ``now_ns`` is the monotonic time of arrival."""

    def __init__(self, path: Path | str, streams: Iterable[Stream]) -> None:
        self._db = sqlite3.connect(path)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + SCHEMA)
        self._seqs: dict[Lane, Numbers] = {}
        self.arrivals = {(stream.gateway, stream.counter): Arrivals(stream) for stream in streams}
        self.raised: list[RaisedAlarm] = []
        self.standings: list[tuple[str, str, str, str]] = []
        """What was done with alarms: gateway, alarm, change and comment."""
        self.tags: set[Tag] = set()
        self.records = 0
        self.resends = 0
        self.duplicates = 0
        self.findings: list[str] = []

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def receive(self, records: Iterable[object], now_ns: int) -> int:
        """Enter the records of one post, all or none, and return how many. Raises MalformedError."""
        checked = [_check(record) for record in records]
        for record in checked:
            self._enter(record, now_ns)
        self._db.commit()
        return len(checked)

    def gaps(self) -> dict[Lane, list[tuple[int, int]]]:
        """List the seq ranges that never came, by gateway, epoch and lane."""
        found = {lane: list(seqs.missing(1, seqs.highest)) for lane, seqs in self._seqs.items()}
        return {lane: ranges for lane, ranges in found.items() if ranges}

    def receive_counts(self, counts: Iterable[object]) -> int:
        """Enter what the fleet says it had committed of some hours, all or none. Raises MalformedError."""
        rows = [_check_count(count) for count in counts]
        self._db.executemany("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?)", rows)
        self._db.commit()
        return len(rows)

    def short_hours(self) -> list[tuple[str, str, str, int, int]]:
        """List the hours of which less came than the fleet had committed: gateway, lane, hour, told, here."""
        return self._db.execute(
            "SELECT gateway, lane, hour, records, here FROM ("
            " SELECT *, (SELECT count(*) FROM record WHERE record.gateway = told.gateway AND record.lane = told.lane"
            "  AND substr(record.captured_at, 1, 13) = substr(told.hour, 1, 13)) AS here FROM told"
            ") WHERE here < records ORDER BY gateway, lane, hour"
        ).fetchall()

    def missing(self, lane: Lane, first: int, last: int) -> list[tuple[int, int]]:
        """List the seqs of a range that never came."""
        return list(self._seqs.get(lane, Numbers()).missing(first, last))

    @property
    def samples(self) -> int:
        """Usable values in the scans of the known streams, each counted once."""
        return sum(arrivals.samples for arrivals in self.arrivals.values())

    def _enter(self, record: dict[str, Any], now_ns: int) -> None:
        key, identity, digest = record["key"], _identity(record), _digest(record)
        known = self._db.execute("SELECT digest FROM record WHERE key = ?", (key,)).fetchone()
        if known is not None:
            if known[0] == digest:
                self.resends += 1
            else:
                self._count_duplicate(f"key {key} came again with other content")
            return
        twin = self._db.execute(
            "SELECT key FROM record WHERE gateway = ? AND epoch = ? AND lane = ? AND seq = ?", identity
        ).fetchone()
        # Where the time of capture is unknown, the fleet counts by the hour of receipt.
        at = str(record.get("captured_at") or record.get("received_at"))
        row = (key, *identity, record["kind"], at, now_ns, digest)
        self._db.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self.records += 1
        if twin is not None:
            self._count_duplicate(f"{identity} came as key {twin[0]} and as key {key}")
            return
        self._seqs.setdefault(identity[:3], Numbers()).add(identity[3])
        self._enter_content(record, identity, now_ns)

    def _enter_content(self, record: dict[str, Any], identity: tuple[str, str, str, int], now_ns: int) -> None:
        gateway = identity[0]
        if record["kind"] == "alarm" and record.get("change") == "raised":
            self.raised.append(RaisedAlarm(gateway, str(record.get("alarm")), now_ns))
        if record["kind"] == "standing":
            alarm, change, comment = (str(record.get(name)) for name in ("alarm", "change", "comment"))
            self.standings.append((gateway, alarm, change, comment))
        if record["kind"] != "scan":
            return
        for tag, reading in record["values"].items():
            if is_usable(reading):
                self.tags.add((gateway, tag))
            arrivals = self.arrivals.get((gateway, tag))
            if arrivals is not None and is_usable(reading) and not arrivals.take(record["values"]):
                self._count_duplicate(f"{identity}: {tag} = {reading['value']} was relayed before")

    def _count_duplicate(self, finding: str) -> None:
        self.duplicates += 1
        if len(self.findings) < TOLD:
            self.findings.append(finding)


def is_usable(reading: dict[str, Any]) -> bool:
    """Tell whether a reading has a value that is not bad."""
    return reading["value"] is not None and reading.get("quality") != "bad"


def _list(body: object, name: str) -> list[Any]:
    """Return the records or counts of a post. Raises MalformedError."""
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise MalformedError(f'the body is not {{"destination": ..., "{name}": [...]}}')
    return found


def _check_count(count: object) -> tuple[str, str, str, int]:
    """Return gateway, lane, hour and records of a count. Raises MalformedError."""
    if not isinstance(count, dict):
        raise MalformedError("a count is not an object")
    for name, kind in (("gateway", str), ("lane", str), ("hour", str), ("records", int)):
        if not isinstance(count.get(name), kind):
            raise MalformedError(f"count without {name}: {json.dumps(count)[:200]}")
    return count["gateway"], count["lane"], count["hour"], count["records"]


def _check(record: object) -> dict[str, Any]:
    """Return the record if every field that the books need is there. Raises MalformedError."""
    if not isinstance(record, dict):
        raise MalformedError("a record is not an object")
    for name, kind in (("key", str), ("gateway", str), ("epoch", str), ("lane", str), ("seq", int), ("kind", str)):
        if not isinstance(record.get(name), kind):
            raise MalformedError(f"record without {name}: {json.dumps(record)[:200]}")
    if record["kind"] == "scan":
        values = record.get("values")
        if not isinstance(values, dict) or not all(isinstance(v, dict) and "value" in v for v in values.values()):
            raise MalformedError(f"scan {record['key']} without values")
    return record


def _identity(record: dict[str, Any]) -> tuple[str, str, str, int]:
    return record["gateway"], record["epoch"], record["lane"], record["seq"]


def _digest(record: dict[str, Any]) -> bytes:
    """Digest what a record says. When the fleet got it, and the bounds that follow from that, are about the delivery: a
    restored fleet may get it again."""
    content = {name: value for name, value in record.items() if name not in OF_DELIVERY}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


class Trouble(StrEnum):
    """What the platform does with a post instead of taking and confirming it."""

    REFUSES = "refuses"
    """It answers 500 and takes nothing."""
    FORGETS = "forgets"
    """It takes the records and answers 500: the sender cannot know."""
    HANGS = "hangs"
    """It takes the records and answers when nobody waits any more."""
    GARBAGE = "garbage"
    """It takes nothing and answers 200 with something else than an account."""


class Platform:
    """The HTTP side: ``POST /records`` and ``/counts``. ``on_raised`` hears of each alarm as it arrives."""

    def __init__(
        self,
        book: Book,
        on_raised: Callable[[RaisedAlarm], None] = lambda _: None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._book = book
        self._on_raised = on_raised
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self.posts = 0
        self.trouble: Trouble | None = None

    async def open(self) -> str:
        """Listen on a free port of the loopback and return the address to post to."""
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        app.router.add_post("/records", self._post)
        app.router.add_post("/counts", self._post_counts)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/records"

    async def close(self) -> None:
        """Stop listening. May be called twice."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _post(self, request: web.Request) -> web.Response:
        now_ns = self._clock()
        if self.trouble is Trouble.REFUSES:
            return web.json_response({"error": "out of order"}, status=500)
        if self.trouble is Trouble.GARBAGE:
            return web.Response(text="<html>It works!</html>", content_type="text/html")
        try:
            body = json.loads(await request.read())
            heard = len(self._book.raised)
            accepted = self._book.receive(_list(body, "records"), now_ns)
        except (MalformedError, json.JSONDecodeError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self.posts += 1
        for raised in self._book.raised[heard:]:
            self._on_raised(raised)
        if self.trouble is Trouble.HANGS:
            await asyncio.sleep(HANGS_S)
        if self.trouble is Trouble.FORGETS:
            return web.json_response({"error": "out of order"}, status=500)
        return web.json_response({"accepted": accepted})

    async def _post_counts(self, request: web.Request) -> web.Response:
        if self.trouble is not None:
            return web.json_response({"error": "out of order"}, status=500)
        try:
            accepted = self._book.receive_counts(_list(json.loads(await request.read()), "counts"))
        except (MalformedError, json.JSONDecodeError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"accepted": accepted})
