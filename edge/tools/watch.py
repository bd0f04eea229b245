"""``fengsui-edge watch``: a live table of tags, polled as the agent polls them. Nothing is stored, no alarm raised."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from drivers.base import Scan
from drivers.errors import LinkError
from edge.collect import Collector
from edge.line import Line
from edge.supervise import end
from edge.tools.acquire import url_of
from edge.tools.interrupt import stop_on_interrupt, wait_for
from edge.tools.ports import with_holder
from edge.tools.target import Target, add_target, resolve
from edge.tools.terminal import columns, make_table, print_json
from edge.tools.words import format_quality, format_value, reason_of
from wire.sample import Quality, Value, is_bad, is_good, quality_class

EXAMPLES = """\
  fengsui-edge watch
  fengsui-edge watch gd-01
  fengsui-edge watch rtu:///dev/ttyUSB0 --unit 3 --profile pemtech_pt495"""

STATUS = "something was read well, also if Ctrl-C ended it; 1 nothing ever was"

DRAW_S = 0.5
GRACE_S = 1.0
"""How long the exchanges under way have to come to their end."""

WIDE = 72
"""Columns from which on the extremes and the share of good readings are shown."""


class Row(msgspec.Struct):
    """What is known of a tag."""

    value: Value = None
    quality: int = int(Quality.BAD)
    read_ns: int = 0
    low: float | None = None
    high: float | None = None
    good: int = 0
    total: int = 0

    def take(self, value: Value, quality: int, mono_ns: int) -> None:
        """Note a reading; a bad one has no part in the extremes."""
        self.value, self.quality, self.read_ns = value, quality, mono_ns
        self.total += 1
        self.good += is_good(quality)
        if isinstance(value, int | float) and not isinstance(value, bool) and not is_bad(quality):
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)


class Board:
    """The newest of every tag."""

    def __init__(self, target: Target, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.rows = {tag: Row() for tag in target.tags}
        self._infos = target.tags
        self._clock = clock
        self._tags = {group.group.name: group.group.tags for bus in target.buses for group in bus.groups}

    def take(self, scan: Scan) -> None:
        """Take a scan."""
        for tag, value, quality in zip(self._tags[scan.group], scan.values, scan.quality, strict=True):
            if tag in self.rows:
                self.rows[tag].take(value, quality, scan.mono_ns)

    def line(self, scan: Scan, wall: datetime) -> Mapping[str, Any]:
        """Tell a scan as one JSON line: time of the reading, group, values with unit and quality."""
        values = {
            tag: {
                "value": value,
                "unit": self._infos[tag].unit,
                "quality": quality_class(quality),
                "reason": reason_of(quality),
            }
            for tag, value, quality in zip(self._tags[scan.group], scan.values, scan.quality, strict=True)
            if tag in self.rows
        }
        return {"time": wall.isoformat(timespec="milliseconds"), "group": scan.group, "values": values}

    def table(self, width: int) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """Headers and rows, as many columns as fit."""
        headers = ("tag", "value", "quality", "age", "min", "max", "good")
        shown = len(headers) if width >= WIDE else 4
        return headers[:shown], [self._cells(tag, row)[:shown] for tag, row in self.rows.items()]

    def _cells(self, tag: str, row: Row) -> tuple[str, ...]:
        if not row.total:
            return tag, "", "waiting", "", "", "", ""
        return (
            tag,
            format_value(row.value, self._infos[tag].unit),
            format_quality(row.quality),
            f"{max(0.0, (self._clock() - row.read_ns) / 1e9):.1f} s",
            format_value(row.low) if row.low is not None else "",
            format_value(row.high) if row.high is not None else "",
            f"{100 * row.good / row.total:.0f} %",
        )


class LastWords(logging.Handler):
    """Keeps the newest warnings of the collectors: what is wrong with a line or a device stands below the table."""

    def __init__(self, most: int = 3) -> None:
        super().__init__(logging.WARNING)
        self.words: list[str] = []
        self._most = most

    def emit(self, record: logging.LogRecord) -> None:
        """Take a message."""
        self.words = [*self.words, record.getMessage()][-self._most :]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("what", nargs="?", default="", help="a bus, device or tag (default: all), or an address")
    add_target(parser)
    parser.add_argument("--for", dest="seconds", type=float, metavar="S", help="end after this time")


def run(options: argparse.Namespace) -> int:
    """Watch until Ctrl-C. Returns 1 if nothing was ever read well."""
    target = resolve(options.what, options)
    board = Board(target)
    asyncio.run(_watch(target, board, options))
    return 0 if any(row.good for row in board.rows.values()) else 1


async def _watch(target: Target, board: Board, options: argparse.Namespace) -> None:
    lines = [Line(bus) for bus in target.buses]
    for line in lines:
        await _try(line)
    take = _printer(board) if options.json else board.take
    with _last_words(options.verbose) as words:
        async with stop_on_interrupt() as stop:
            tasks = [asyncio.create_task(collector.run()) for collector in _collectors(lines, take, stop)]
            try:
                await (wait_for(stop, options.seconds) if options.json else _draw(board, words, stop, options.seconds))
            finally:
                stop.set()
                await asyncio.wait(tasks, timeout=GRACE_S)
                await end(*tasks)


def _collectors(lines: Sequence[Line], take: Callable[[Scan], None], stop: asyncio.Event) -> list[Collector]:
    """Make the collectors. Once ``stop`` is set each ends behind an exchange and not within one."""

    def sink(scan: Scan) -> None:
        take(scan)
        task = asyncio.current_task()
        if stop.is_set() and task is not None:
            task.cancel()

    jitter = random.Random()  # noqa: S311 - spreads the first polls, guards nothing
    return [Collector(line, sink, mono_ns=time.monotonic_ns, jitter=jitter, journal=_forget) for line in lines]


@contextlib.contextmanager
def _last_words(verbose: bool) -> Iterator[LastWords]:
    """Take what the collectors log, so that it does not break into the table."""
    words, logger = LastWords(), logging.getLogger("edge.collect")
    level = logger.level
    logger.addHandler(words)
    logger.propagate = verbose
    if not verbose:
        logger.setLevel(logging.WARNING)
    try:
        yield words
    finally:
        logger.removeHandler(words)
        logger.propagate = True
        logger.setLevel(level)


async def _try(line: Line) -> None:
    """Open a line first: a port that another program holds is told at once and not as a bad quality."""
    try:
        await line.driver.open()
    except LinkError as error:
        raise with_holder(error, url_of(line.bus)) from error
    finally:
        await line.driver.close()


def _forget(_event: str, _detail: str) -> None:
    """There is no journal here."""


def _printer(board: Board) -> Callable[[Scan], None]:
    ahead_ns = time.time_ns() - time.monotonic_ns()

    def print_scan(scan: Scan) -> None:
        board.take(scan)
        print_json(board.line(scan, datetime.fromtimestamp((scan.mono_ns + ahead_ns) / 1e9, UTC)))

    return print_scan


async def _draw(board: Board, words: LastWords, stop: asyncio.Event, seconds: float | None) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    def picture(*last: Text) -> Group:
        headers, rows = board.table(columns())
        table = make_table(headers, rows, columns(), folds=("quality",))
        return Group(table, *(Text(each, style="yellow") for each in words.words), *last)

    console = Console(highlight=False, width=None if sys.stdout.isatty() else columns())
    if not console.is_terminal:
        await wait_for(stop, seconds)
        console.print(picture())
        return
    ends = math.inf if seconds is None else time.monotonic() + seconds
    hint = Text("Ctrl-C ends it.", style="dim")
    with Live(picture(hint), console=console, auto_refresh=False) as live:
        while not stop.is_set() and time.monotonic() < ends:
            await wait_for(stop, min(DRAW_S, ends - time.monotonic()))
            live.update(picture(hint), refresh=True)
        live.update(picture(), refresh=True)
