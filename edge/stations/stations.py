"""All seismic stations of a gateway. They outlive a configuration that leaves them as they are.

Acquisition.take(scan) -> Stations.take -> scans of the stations' own groups -> alarms, outputs, live, spool
                                        -> QuakeRecord                       -> lane A
                          Stations.run  -> packets                           -> disk, lane W
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain

import msgspec

from drivers.base import Scan
from edge.clock import SystemClock
from edge.stations.keeping import Disk, Keeping
from edge.stations.quake import Partner, Told
from edge.stations.running import Running
from edge.stations.settings import Station
from edge.store import Store
from edge.timing import Timekeeper
from seismic.packet import Packet, to_record
from seismic.report import Report
from wire.health import GroupHealth
from wire.record import QuakeRecord
from wire.sample import Quality

log = logging.getLogger(__name__)

NS = 1_000_000_000
TICK_S = 1.0


class Stations:
    """Call `begin` with every configuration, run `run`, `keep` and `watch_clock` meanwhile, and `close` at the end.

    ``disk`` is where quakes and waveforms outlive the agent; None for nowhere.
    """

    def __init__(self, store: Store, clock: SystemClock, disk: Disk | None = None) -> None:
        self._store = store
        self._clock = clock
        self._timekeeper = Timekeeper(clock)
        self._keeping = Keeping(disk, store.put_audit)
        self._has_begun = False
        self._all: dict[str, Running] = {}
        self._by_source: dict[str, list[Running]] = {}
        self._waiting_for: dict[str, list[Running]] = {}
        """By the name of a station: those that it confirms."""
        self._outbox: deque[Packet] = deque()
        self._wake = asyncio.Event()

    def begin(self, stations: Iterable[Station]) -> None:
        """Go on with these stations: those whose instrument is as it was keep all they know, others end or begin."""
        before, self._all = self._all, {}
        for settings in stations:
            known = before.get(settings.name)
            goes_on = known is not None and known.adopt(settings)
            self._all[settings.name] = (
                before.pop(settings.name) if goes_on else Running(settings, self._timekeeper.quality())
            )
        for gone in before.values():
            self._finish(gone, "the configuration was changed")
        self._keeping.days = {
            channel.stream: one.settings.keep_days for one in self._all.values() for channel in one.settings.channels
        }
        self._by_source, self._waiting_for = defaultdict(list), defaultdict(list)
        for one in self._all.values():
            self._by_source[one.settings.source].append(one)
            one.below = []
        for one in self._all.values():
            structure, compared = one.settings.structure, one.settings.compared
            if one.levels is not None and structure is not None and compared is not None:
                self._all[structure.lower].below.append((one.levels, compared))
            if one.settings.coincidence is not None:
                self._waiting_for[one.settings.coincidence.station].append(one)
        if not self._has_begun:
            self._has_begun = True
            self._close_left()

    def _close_left(self) -> None:
        """Close what the last start of the agent left open, and go on with the waveform if that was a moment ago."""
        now_ns = self._clock.mono_ns()
        wall_ns = self._clock.wall_at(now_ns)
        by_code = {one.settings.code: one for one in self._all.values()}
        for record in self._keeping.read_open():
            reason, quality = "the agent ended before the quake did", int(Quality.UNCERTAIN_PARTIAL)
            self._store.put_event(
                msgspec.structs.replace(
                    record, mono_ns=now_ns, wall_ns=wall_ns, state="closed", reason=reason, quality=quality
                )
            )
            one = by_code.get(record.station)
            ago_ns = None if wall_ns is None or record.wall_ns is None else wall_ns - record.wall_ns
            if one is not None and (ago_ns is None or ago_ns < one.settings.post_s * NS):
                one.resume(now_ns)

    @property
    def sources(self) -> Collection[str]:
        """The groups whose scans are to be handed over."""
        return self._by_source.keys()

    def groups(self) -> dict[str, GroupHealth]:
        """The accounting of the stations' own groups."""
        return {one.settings.group: one.health for one in self._all.values()}

    def take(self, scan: Scan) -> Iterable[Scan]:
        """Take a scan of a source; return those that are to be used. What is recorded of them is, once they were."""
        made: Iterable[Scan] = ()
        for one in self._by_source[scan.group]:
            report = one.take(scan)
            at_ns = scan.mono_ns if one.is_missing else one.newest_ns
            if report is not None or at_ns >= one.due_ns:
                made = chain(made, self._settle(one, report, at_ns))
            if one.recorded:
                self._collect(one)
        return made

    def tick(self) -> Iterator[Scan]:
        """Let time pass, about a second."""
        now_ns, state = self._clock.mono_ns(), self._timekeeper.quality()
        for one in self._all.values():
            report = one.tick(now_ns, state)
            if report is not None or now_ns >= one.due_ns:
                yield from self._settle(one, report, now_ns)
            self._collect(one)

    def _settle(self, one: Running, report: Report | None, at_ns: int) -> Iterator[Scan]:
        """Say what is known of a station now, and of those that waited for it: their scans first, then the records."""
        if report is not None:
            one.watch.take(report, self._number(one, report.onset_at_ns))
        self._decide(one, at_ns)
        yield from self._show(one, at_ns)
        self._keep(one)
        if report is None or report.state != "onset":
            return
        for other in self._waiting_for.get(one.settings.name, ()):
            if other.watch.is_triggered and other.watch.accepted is None:
                self._decide(other, at_ns)
                yield from self._show(other, other.newest_ns)
                self._keep(other)

    def _decide(self, one: Running, at_ns: int) -> None:
        """Ask for a verdict as of the newest sample: what happened after it, nobody knows yet."""
        one.watch.decide(self._partner(one), at_ns if one.is_missing else one.newest_ns)

    def _show(self, one: Running, at_ns: int) -> Iterator[Scan]:
        """Tell the tags of a station, unless that is of a time long over: then only that there is nothing newer."""
        now_ns = self._clock.mono_ns()
        is_late = one.is_late(now_ns)
        one.plan(now_ns if is_late else at_ns)
        if not is_late or at_ns >= now_ns:
            yield one.show(at_ns, is_late=is_late)

    def _wall_at(self, one: Running, at_ns: int) -> int | None:
        return one.wall_at(at_ns) or self._clock.wall_at(at_ns)

    def _number(self, one: Running, onset_ns: int) -> int:
        return self._wall_at(one, onset_ns) or onset_ns or 1

    def _partner(self, one: Running) -> Partner | None:
        coincidence = one.settings.coincidence
        if coincidence is None or not one.watch.is_triggered or one.watch.accepted is not None:
            return None
        return self._all[coincidence.station].as_partner(one.newest_ns)

    def _keep(self, one: Running) -> None:
        """Record what a station tells."""
        for told in one.tell():
            record = self._record(one, told)
            self._store.put_event(record)
            self._keeping.note(record)
        self._collect(one)

    def _record(self, one: Running, told: Told) -> QuakeRecord:
        report, wall_at = told.report, partial(self._wall_at, one)
        return QuakeRecord(
            station=one.settings.code,
            mono_ns=report.at_ns,
            wall_ns=wall_at(report.at_ns),
            quake=told.number,
            state=report.state,
            onset_ns=wall_at(report.onset_at_ns),
            peak_ns=wall_at(report.peak_at_ns),
            duration_s=report.duration_s,
            pga_gal=report.pga_gal,
            pgv_cm_s=report.pgv_cm_s,
            pgd_cm=report.pgd_cm,
            intensity_gb=report.intensity_gb,
            intensity_jma=report.intensity_jma,
            grade=report.grade,
            quality=max(report.quality, int(Quality.UNCERTAIN_INCONSISTENT)) if one.doubt else report.quality,
            pd_cm=report.pd_cm,
            tau_c_s=report.tau_c_s,
            magnitude=report.magnitude,
            magnitude_error=report.magnitude_error,
            spectrum=report.spectrum,
            reason="; ".join(filter(None, (report.reason, one.doubt))),
        )

    def _collect(self, one: Running) -> None:
        """Gather packets; `run` hands them over, a few at a time."""
        if one.recorded or one.sent:
            for packet in one.recorded:
                self._keeping.put(packet)
            one.recorded.clear()
            self._outbox += one.sent
            one.sent.clear()
            self._wake.set()

    async def run(self, use: Callable[[Scan], None]) -> None:
        """Watch the time and hand packets over, until cancelled. ``use`` takes the scans that are made meanwhile."""
        loop = asyncio.get_running_loop()
        tick_at = loop.time()
        while True:
            if loop.time() >= tick_at:
                tick_at = loop.time() + TICK_S
                for made in self.tick():
                    use(made)
            self._wake.clear()
            await self._send()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(tick_at):
                    await self._wake.wait()

    async def keep(self) -> None:
        """Put on disk what is to outlive the agent, until cancelled. A slow disk holds up nothing else."""
        await self._keeping.run()

    async def watch_clock(self) -> None:
        """Find out now and then who holds this machine's clock, until cancelled."""
        await self._timekeeper.watch_forever()

    async def _send(self) -> None:
        """Pack what is to be sent. A quake's packets from before come at once: samples have their turn between them."""
        while self._outbox:
            self._store.put_waveform(to_record(self._outbox.popleft()))
            await asyncio.sleep(0)

    def _finish(self, one: Running, reason: str) -> None:
        report = one.finish(reason)
        if report is not None:
            one.watch.take(report, self._number(one, report.onset_at_ns))
        self._keep(one)

    async def close(self) -> None:
        """End all stations; what they have goes to the store."""
        for one in self._all.values():
            self._finish(one, "the agent was stopped")
        self._all.clear()
        self._by_source.clear()
        await self._send()
        await self._keeping.close()
