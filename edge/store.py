"""The spool's only user: one thread, one bounded queue, group commit.

Collectors hand records over without waiting. Measurements are committed together about once a second, events of lane A
at once. What cannot be stored now stays in memory up to a bound and is tried again; what must then be dropped is
counted, and declared in lane A as soon as the spool takes records again. That holds from the first moment: a gateway
that starts on a full disk acquires and alarms, and opens its spool when it can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from edge.clock import SystemClock
from edge.conversation import Plan
from edge.errors import SpoolError, SpoolFullError
from edge.settings import SpoolSettings
from edge.spool import Mark, Slice, Spool
from wire.health import LaneHealth
from wire.record import AlarmRecord, AuditRecord, Lane, Layout, Record, ScanRecord, encode_record

log = logging.getLogger(__name__)
T = TypeVar("T")
Begin = Callable[[], tuple[Spool, Path | None]]
"""Opens a spool; the path is where a damaged one was put aside."""

Figures = tuple[dict[Lane, LaneHealth], int]
"""The accounts of every lane, and the octets in use."""

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
        self._loop = asyncio.get_running_loop()
        self._executor = executor
        self._settings = settings
        self._clock = clock
        self._queue: list[tuple[Lane, Record]] = []
        self._layouts: dict[bytes, Layout] = {}
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self.committed = asyncio.Event()
        """Set whenever records have become durable; the uplink waits for it and clears it."""
        self.fault = ""
        self.dropped = 0
        self._undeclared = 0
        self.accounts: dict[Lane, LaneHealth] = {}
        self.size_bytes = 0

    @classmethod
    async def open(cls, path: Path, settings: SpoolSettings, clock: SystemClock) -> Store:
        """Open the spool in its thread. A damaged file is moved aside; one that cannot be had is tried again later."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")

        def begin() -> tuple[Spool, Path | None]:
            return Spool.open(path, max_bytes=settings.max_bytes, boot=clock.boot, clock=clock.state())

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

    async def _call(self, work: Callable[[Spool], T]) -> T:
        """Do something with the spool, in its thread, opening it first if it could not be opened before."""
        return await self._loop.run_in_executor(self._executor, lambda: work(self._open_spool()))

    def _open_spool(self) -> Spool:
        if self._spool is None:
            assert self._begin is not None
            self._spool, aside = self._begin()
            if aside is not None:
                self._loop.call_soon_threadsafe(self._declare_damage, aside)
        return self._spool

    def _declare_damage(self, aside: Path) -> None:
        log.error("spool was damaged; it was kept as %s and a new one begun", aside)
        self.put_audit("spool-corrupt", f"the damaged spool was moved to {aside}")

    def put_scan(self, record: ScanRecord, layout: Layout) -> None:
        """Hand over a scan. It is durable at the next group commit."""
        self._layouts.setdefault(record.layout, layout)
        self._put(Lane.MEASUREMENTS, record)

    def put_event(self, record: Record) -> None:
        """Hand over an event of lane A. It is committed at once."""
        self._put(Lane.ALARMS, record)
        self._urgent.set()

    def put_audit(self, event: str, detail: str) -> None:
        """Hand over an audit event stamped now."""
        mono = self._clock.mono_ns()
        self.put_event(AuditRecord(mono, self._clock.wall_at(mono), event, detail))

    def _put(self, lane: Lane, record: Record) -> None:
        if len(self._queue) >= QUEUE_MOST and not self._make_room(lane):
            self.dropped += 1
            self._undeclared += 1
            return
        self._queue.append((lane, record))
        self._wake.set()

    def _make_room(self, lane: Lane) -> bool:
        """An event displaces the oldest measurement; a measurement displaces nothing."""
        if lane is not Lane.ALARMS:
            return False
        oldest = next((i for i, (other, _) in enumerate(self._queue) if other is not Lane.ALARMS), None)
        if oldest is None:
            return False
        del self._queue[oldest]
        self.dropped += 1
        self._undeclared += 1
        return True

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
            return await self._commit_queue()

    async def _commit_queue(self) -> bool:
        taken, self._queue = self._queue, []
        declared = self._undeclared
        declaration = self._declare(declared)
        if not taken and not declaration:
            return True
        try:
            await self._append(declaration + taken)
        except SpoolFullError as error:
            events = [entry for entry in taken if entry[0] is Lane.ALARMS]
            self._queue[:0] = [entry for entry in taken if entry[0] is not Lane.ALARMS]
            self._report(error)
            if not await self._commit_events(declaration + events):
                self._queue[:0] = events
            else:
                self._undeclared -= declared
            return False
        except SpoolError as error:
            self._queue[:0] = taken
            self._report(error)
            return False
        except (OverflowError, TypeError, ValueError) as error:
            self._queue[:0] = self._sort_out(taken, error)
            return False
        self._undeclared -= declared
        if self.fault:
            log.info("spool stores again")
            self.fault = ""
        return True

    def _declare(self, count: int) -> list[tuple[Lane, Record]]:
        """Make the event that says how many records were dropped, if any were."""
        if not count:
            return []
        mono = self._clock.mono_ns()
        detail = f"{count} records were dropped while the spool could not store: {self.fault}"
        return [(Lane.ALARMS, AuditRecord(mono, self._clock.wall_at(mono), "losing-data", detail))]

    def _sort_out(self, taken: list[tuple[Lane, Record]], error: Exception) -> list[tuple[Lane, Record]]:
        """Keep what can be encoded. A driver's value that no record can hold must not take its neighbours along."""
        kept = [entry for entry in taken if _is_encodable(entry[1])]
        lost = len(taken) - len(kept)
        self.dropped += lost
        self._undeclared += lost
        self._report(SpoolError(f"{lost} records cannot be encoded: {error}", hint="look at what the driver reads"))
        return kept

    async def _commit_events(self, events: list[tuple[Lane, Record]]) -> bool:
        """Store events alone: they have room beyond the quota."""
        if not events:
            return True
        try:
            await self._append(events)
        except SpoolError as error:
            self._report(error)
            return False
        return True

    async def _append(self, records: list[tuple[Lane, Record]]) -> None:
        layouts, clock = dict(self._layouts), self._clock.state()

        def append(spool: Spool) -> Figures | SpoolError:
            spool.append(records, layouts, clock)
            try:
                return _measure(spool)
            except SpoolError as error:  # the records are stored all the same
                return error

        figures = await self._call(append)
        self.committed.set()
        if isinstance(figures, SpoolError):
            self._report(figures)
        else:
            self.accounts, self.size_bytes = figures

    def _report(self, error: SpoolError) -> None:
        if str(error) != self.fault:
            log.error("%s (%s)", error, error.hint or "records wait in memory")
            self.fault = str(error)

    async def _refresh(self) -> None:
        self.accounts, self.size_bytes = await self._call(_measure)

    async def _prune(self) -> None:
        try:
            await self._call(lambda spool: spool.prune(self._settings.keep_h * 3600))
        except SpoolError as error:
            self._report(error)

    async def marks(self) -> list[Mark]:
        """Where every epoch and lane stands."""
        return await self._call(lambda spool: spool.marks())

    async def read(self, plan: Plan) -> Slice | None:
        """Read the records that a plan names."""
        return await self._call(lambda spool: spool.read(plan.epoch, plan.lane, plan.after, plan.max_bytes))

    async def set_committed(self, cursors: Sequence[tuple[str, Lane, int]]) -> None:
        """Take over the fleet's cursors."""

        def take_over(spool: Spool) -> Figures:
            spool.set_committed(cursors)
            return _measure(spool)

        self.accounts, self.size_bytes = await self._call(take_over)

    async def raised(self) -> dict[str, AlarmRecord]:
        """The alarms that were up when the agent last ran."""
        return await self._call(lambda spool: spool.raised())

    async def close(self) -> None:
        """Commit what is left and close the file."""
        await self.commit()
        if self._queue:
            log.error("%d records could not be stored before the end: %s", len(self._queue), self.fault)
        if self._spool is not None:
            await self._call(lambda spool: spool.close())
        self._executor.shutdown()


def _measure(spool: Spool) -> Figures:
    return spool.accounts(), spool.size_bytes()


def _is_encodable(record: Record) -> bool:
    try:
        encode_record(record)
    except (OverflowError, TypeError, ValueError):
        return False
    return True
