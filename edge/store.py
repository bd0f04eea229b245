"""The spool's only user: one thread, one bounded queue, group commit.

Collectors hand records over without waiting. Measurements are committed together about once a second, events of lane A
at once. What cannot be stored now stays in memory up to a bound and is tried again. What must then be dropped keeps its
place and its number: measurements become a tombstone, events are folded by rule. That holds from the first moment: a
gateway that starts on a full disk acquires and alarms, and opens its spool when it can. While records that the fleet
lacks are given up, one alarm in lane A says so.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from edge.accounts import UNBALANCED_EVENT, Accounts
from edge.clock import SystemClock
from edge.conversation import Plan
from edge.errors import SpoolCorruptError, SpoolError, SpoolFullError
from edge.losing import LosingData
from edge.settings import SpoolSettings
from edge.spool import Entry, Event, Mark, Remembered, Salvaged, Slice, Spool
from edge.waiting import Waiting, make_gone
from edge.wear import written_bytes
from wire.alarm import standing_after
from wire.health import LaneHealth
from wire.record import AlarmRecord, AuditRecord, FileRecord, Lane, Layout, Record, ScanRecord, WaveformRecord

log = logging.getLogger(__name__)
T = TypeVar("T")
Begin = Callable[[bool], tuple[Spool, Salvaged | None]]
"""Opens a spool, told whether it was found damaged in use; what was salvaged of a damaged one comes too."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of every lane, records lost in all, octets in use and allowed; since the start the octets that the
    spool made the disk write and the records that the fleet committed."""

    accounts: dict[Lane, LaneHealth] = {}
    lost: int = 0
    size_bytes: int = 0
    quota_bytes: int = 0
    written_bytes: int = 0
    delivered: int = 0

    @property
    def written_per_record(self) -> float:
        """Octets written for each record that the fleet committed; 0 while there is none."""
        return self.written_bytes / self.delivered if self.delivered else 0.0


LOSING_ALARM = "spool:losing-data"
LOSING_PRIORITY = 2
MEASURE_SHARE = 100
"""Counting takes at most one part in this many of the time: after days without a link there is much to count."""
MEASURE_QUICK_S = 0.005
QUEUE_MOST = 50_000
"""Records held in memory while the spool cannot take them: minutes of a busy gateway, tens of megabytes."""
RETRY_S = 1.0
PRUNE_S = 30.0


class Store:
    """Use as ``store = await Store.open(...)``, run `commit_forever` as a task, and `close` at the end."""

    def __init__(
        self,
        spool: Spool | None,
        executor: ThreadPoolExecutor,
        settings: SpoolSettings,
        clock: SystemClock,
        begin: Begin | None = None,
    ) -> None:
        self._spool = spool
        self._begin = begin
        self._is_damaged = False
        self._loop = asyncio.get_running_loop()
        self._executor = executor
        self._settings = settings
        self._clock = clock
        self._waiting = Waiting(QUEUE_MOST)
        self._layouts: dict[bytes, Layout] = {}
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self.committed = asyncio.Event()
        """Set whenever records have become durable; the uplink waits for it and clears it."""
        self.fault = ""
        self.figures = Figures()
        self._measured_s = -math.inf
        self._measuring_s = 0.0
        self._losing: LosingData | None = None
        self._accounts = Accounts()
        self._delivered_before: int | None = None

    @classmethod
    async def open(cls, path: Path, settings: SpoolSettings, clock: SystemClock) -> Store:
        """Open the spool in its thread. A damaged file is salvaged; one that cannot be had is tried again later."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")

        def begin(is_damaged: bool) -> tuple[Spool, Salvaged | None]:
            return Spool.open(
                path,
                max_bytes=settings.max_bytes,
                boot=clock.boot,
                clock=clock.state(),
                min_free_bytes=settings.min_free_bytes,
                is_damaged=is_damaged,
            )

        store = cls(None, executor, settings, clock, begin)
        try:
            await store._refresh()
        except SpoolError as error:
            store._report(error)
        return store

    @property
    def epoch(self) -> str:
        """The epoch of this start, empty while the spool could not be opened."""
        return self._spool.epoch if self._spool is not None else ""

    @property
    def dropped(self) -> int:
        """Records that neither spool nor memory could hold whole."""
        return self._waiting.dropped

    async def _call(self, work: Callable[[Spool], T]) -> T:
        """Do something with the spool, in its thread, opening it first if it could not be opened before."""
        return await self._loop.run_in_executor(self._executor, lambda: self._do(work))

    def _do(self, work: Callable[[Spool], T]) -> T:
        try:
            return work(self._open_spool())
        except SpoolCorruptError:
            self._set_aside()
            raise
        except OSError as error:  # salvage renames files, room asks how full the disk is
            raise SpoolError(f"spool: {error}", hint="look at the disk; records wait in memory") from error

    def _open_spool(self) -> Spool:
        if self._spool is None:
            assert self._begin is not None
            self._spool, salvaged = self._begin(self._is_damaged)
            self._is_damaged = False
            if salvaged is not None:
                self._loop.call_soon_threadsafe(self._declare_damage, salvaged)
        return self._spool

    def _set_aside(self) -> None:
        """Damage that shows in use: close the file, so that the next call salvages it."""
        if self._spool is not None and self._begin is not None:
            self._spool.close()
            self._spool, self._is_damaged = None, True

    def _declare_damage(self, salvaged: Salvaged) -> None:
        detail = f"{salvaged.saved} records were saved, {salvaged.lost} are lost; it was kept as {salvaged.aside}"
        log.error("the spool was damaged: %s", detail)
        self.put_audit("spool-corrupt", detail)

    def put_scan(self, record: ScanRecord, layout: Layout) -> None:
        """Hand over a scan. It is durable at the next group commit."""
        self._layouts.setdefault(record.layout, layout)
        self._waiting.put(Lane.MEASUREMENTS, record)
        self._wake.set()

    def put_waveform(self, record: WaveformRecord) -> None:
        """Hand over a packet of a stream. It is durable at the next group commit."""
        self._waiting.put(Lane.WAVEFORMS, record)
        self._wake.set()

    def put_file(self, parts: Sequence[FileRecord]) -> None:
        """Hand over the parts of a file that was asked for. They are durable at the next group commit."""
        for part in parts:
            self._waiting.put(Lane.WAVEFORMS, part)
        self._wake.set()

    def put_event(self, record: Record) -> None:
        """Hand over an event of lane A. It is committed at once."""
        self._waiting.put(Lane.ALARMS, record)
        self._wake.set()
        self._urgent.set()

    def put_audit(self, event: str, detail: str) -> None:
        """Hand over an audit event stamped now."""
        mono = self._clock.mono_ns()
        self.put_event(AuditRecord(mono, self._clock.wall_at(mono), event, detail))

    async def commit_forever(self) -> None:
        """Commit what is handed over, until cancelled."""
        prune_at = self._clock.mono_ns()
        while True:
            await self._wake.wait()
            await self._wait_for_group()
            self._wake.clear()
            self._urgent.clear()
            if not await self.commit():
                self._wake.set()
                await asyncio.sleep(RETRY_S)
            if self._clock.mono_ns() - prune_at > PRUNE_S * 1e9:
                prune_at = self._clock.mono_ns()
                await self._prune()

    async def _wait_for_group(self) -> None:
        try:
            async with asyncio.timeout(self._settings.commit_s):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def commit(self) -> bool:
        """Make what was handed over durable. Returns False if the spool could not take it; it is then kept.

        One at a time, so that records stay in order; to its end even when the caller is cancelled, so that none is
        forgotten between memory and disk.
        """
        return await asyncio.shield(self._commit())

    async def _commit(self) -> bool:
        async with self._lock:
            return await self._commit_waiting()

    async def _commit_waiting(self) -> bool:
        taken = self._waiting.take()
        if not taken:
            return True
        try:
            await self._append(taken)
        except SpoolFullError as error:
            self._report(error)
            self._waiting.put_back(await self._commit_events(taken))
            return False
        except SpoolError as error:
            self._waiting.put_back(taken)
            self._report(error)
            return False
        except (OverflowError, TypeError, ValueError) as error:
            self._waiting.put_back(self._sort_out(taken, error))
            return False
        except BaseException:
            self._waiting.put_back(taken)
            raise
        if self.fault:
            log.info("spool stores again")
            self.fault = ""
        return True

    def _sort_out(self, taken: list[Entry], error: Exception) -> list[Entry]:
        """Keep what can be encoded. A driver's value that no record can hold must not take its neighbours along."""
        kept: list[Entry] = [
            (lane, entry if _is_encodable(entry) else make_gone(entry, "encoding")) for lane, entry in taken
        ]
        lost = sum(before[1] is not after[1] for before, after in zip(taken, kept, strict=True))
        self._waiting.dropped += lost
        self._report(SpoolError(f"{lost} records cannot be encoded: {error}", hint="look at what the driver reads"))
        return kept

    async def _commit_events(self, taken: list[Entry]) -> list[Entry]:
        """Store the events alone: a small commit may fit where a large one does not. Returns what is left to store."""
        events = [entry for entry in taken if entry[0] is Lane.ALARMS]
        if not events:
            return taken
        try:
            await self._append(events)
        except SpoolError as error:
            self._report(error)
            return taken
        return [entry for entry in taken if entry[0] is not Lane.ALARMS]

    async def _append(self, entries: list[Entry]) -> None:
        layouts, clock = dict(self._layouts), self._clock.state()

        def append(spool: Spool) -> SpoolError | None:
            spool.append(entries, layouts, clock)
            try:
                self._measure(spool)
            except SpoolError as error:  # the records are stored all the same
                return error
            return None

        fault = await self._call(append)
        self.committed.set()
        if fault is not None:
            self._report(fault)
        else:
            self._tell_of_losses()
            self._check_accounts()

    def _measure(self, spool: Spool) -> None:
        """Count, unless that took long and was done a moment ago. In the spool's thread."""
        began = time.monotonic()
        if self._measuring_s > MEASURE_QUICK_S and began - self._measured_s < self._measuring_s * MEASURE_SHARE:
            return
        accounts = spool.accounts()
        delivered = sum(account.delivered for account in accounts.values())
        if self._delivered_before is None:
            self._delivered_before = delivered
        self.figures = Figures(
            accounts=accounts,
            delivered=max(0, delivered - self._delivered_before),
            lost=spool.lost(),
            size_bytes=spool.size_bytes(),
            quota_bytes=spool.quota_bytes,
            written_bytes=written_bytes(),
        )
        if self._losing is None:
            self._losing = LosingData(self.figures.lost, is_raised=LOSING_ALARM in spool.standings())
        self._measured_s = time.monotonic()
        self._measuring_s = self._measured_s - began

    def _tell_of_losses(self) -> None:
        mono = self._clock.mono_ns()
        change = self._losing.update(self.figures.lost, mono) if self._losing is not None else None
        if change is not None:
            wall = self._clock.wall_at(mono)
            self.put_event(
                AlarmRecord(
                    mono,
                    wall,
                    LOSING_ALARM,
                    "spool",
                    "losing-data",
                    change,
                    LOSING_PRIORITY,
                    self.figures.lost,
                    standing=standing_after(change, 0),
                    occurrence=wall or mono,
                )
            )

    def _check_accounts(self) -> None:
        for wrong in self._accounts.find_wrong(self.figures.accounts.items()):
            log.error("records are not accounted for, lane %s", wrong)
            self.put_audit(UNBALANCED_EVENT, f"lane {wrong}")

    def _report(self, error: SpoolError) -> None:
        if str(error) != self.fault:
            log.error("%s (%s)", error, error.hint or "records wait in memory")
            self.fault = str(error)

    async def _refresh(self) -> None:
        await self._call(self._measure)

    async def _prune(self) -> None:
        try:
            await self._call(lambda spool: spool.prune(self._settings.keep_h * 3600))
        except SpoolError as error:
            self._report(error)

    async def marks(self) -> list[Mark]:
        """Where every epoch and lane stands."""
        return await self._call(lambda spool: spool.marks())

    async def is_acknowledged(self) -> bool:
        """Tell whether the fleet has committed a record of this run. False while the spool cannot tell."""
        try:
            return any(mark.epoch == self.epoch and mark.committed > 0 for mark in await self.marks())
        except SpoolError:
            return False

    async def read(self, plan: Plan) -> Slice | None:
        """Read the records that a plan names."""
        return await self._call(lambda spool: spool.read(plan.epoch, plan.lane, plan.after, plan.max_bytes))

    async def set_committed(self, cursors: Sequence[tuple[str, Lane, int]]) -> None:
        """Take over the fleet's cursors."""

        def take_over(spool: Spool) -> None:
            spool.set_committed(cursors)
            self._measure(spool)

        await self._call(take_over)
        self._check_accounts()

    async def standings(self) -> dict[str, Remembered]:
        """The alarms that were not normal when the agent last ran, the store's own left out.

        Their raises are put on this boot's monotonic time, so that it still tells who came first.
        """
        found = await self._call(lambda spool: spool.standings())
        mono_ns = self._clock.mono_ns()
        wall_ns = self._clock.wall_at(mono_ns)
        return {name: _put_before(stood, mono_ns, wall_ns) for name, stood in found.items() if name != LOSING_ALARM}

    async def close(self) -> None:
        """Commit what is left and close the file."""
        await self.commit()
        if self._waiting:
            log.error("%d records could not be stored before the end: %s", len(self._waiting), self.fault)
        if self._spool is not None:
            await self._call(lambda spool: spool.close())
        self._executor.shutdown()


def _put_before(stood: Remembered, mono_ns: int, wall_ns: int | None) -> Remembered:
    """Put a raise of an earlier start as long before now as UTC says; where nothing says it, now."""
    raised = stood.raised
    if raised is None:
        return stood
    ago_ns = 0 if wall_ns is None or raised.wall_ns is None else max(0, wall_ns - raised.wall_ns)
    return msgspec.structs.replace(stood, raised=msgspec.structs.replace(raised, mono_ns=mono_ns - ago_ns))


def _is_encodable(entry: Event) -> bool:
    try:
        msgspec.msgpack.encode(entry)
    except (OverflowError, TypeError, ValueError):
        return False
    return True
