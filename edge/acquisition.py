"""One running configuration: its lines, collectors, alarms and outputs. A new configuration is a new one of these.

collector -> Acquisition.take(scan) -> stations, if these are samples of one: scans of its own tags
                                    -> pipeline (checks, derived tags), and for each scan that makes:
                                    -> alarms -> outputs          before anything is stored or sent
                                    -> newest (live)
                                    -> store (lane A, then M)     what is reported of it; samples of stations are not
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from drivers.base import Scan
from edge.accounts import UNBALANCED_EVENT, Accounts
from edge.alarm_settings import COMMANDED, OUTPUT_FAULT
from edge.alarms import NEVER, Alarms, Change, Standpoint
from edge.clock import SystemClock
from edge.collect import Collector
from edge.line import Line
from edge.live import Newest
from edge.mandated import Commanded, Hurried
from edge.mandates import Mandates
from edge.operating import AlarmView, Operation, OperationError
from edge.outputs import Interlock, Means, Output, make_switch
from edge.pipeline import Pipeline
from edge.settings import Configuration
from edge.spool import Remembered
from edge.stations.stations import Stations
from edge.store import Store
from edge.supervise import end, supervise
from edge.trial import Sight
from wire.alarm import CLEARED, RAISED, Standing
from wire.health import BusHealth, GroupHealth, OutputHealth
from wire.mandate import HURRY, RAISE, HurryRequest, RaiseRequest
from wire.record import AlarmRecord, Layout, ScanRecord, StandingRecord, layout_id
from wire.sample import Quality, Value

NS = 1_000_000_000
log = logging.getLogger(__name__)

RAIN_UNIT = "mm"
"""Of a tag that is summed up: then it is rain, and what cannot fall does not count."""
TICK_LEAST_S, TICK_MOST_S = 0.02, 1.0
"""Between two looks at what is due by time alone."""
ACCOUNTS_S = 10.0
"""Between two looks at the accounts of all groups."""
SHOWN_NS = NS
"""Between two samples of a station in the live view."""
NO_MEANS = Means(gateway="", programs=Path("/nonexistent"))
"""No program to run, and no interlock to open."""


class Acquisition:
    """Run `run` as a task; cancel it to stop."""

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        newest: Newest,
        clock: SystemClock,
        before: Mapping[str, Remembered],
        jitter: random.Random,
        means: Means = NO_MEANS,
        mandates: Mandates | None = None,
        stations: Stations | None = None,
    ) -> None:
        self.configuration = configuration
        self._store = store
        self._newest = newest
        self._clock = clock
        self._mandates = mandates or Mandates()
        self._lines = {bus.name: Line(bus, store.commit) for bus in configuration.buses}
        self._line_of = {
            tag: self._lines[bus.name]
            for bus in configuration.buses
            for group in bus.groups
            for tag in group.group.tags
        }
        self._collectors = [
            Collector(
                line,
                self.take,
                mono_ns=clock.mono_ns,
                jitter=jitter,
                journal=store.put_audit,
                calmed=partial(self._mandates.drop, HURRY),
            )
            for line in self._lines.values()
        ]
        self._pipeline = Pipeline(configuration)
        self._stations = Stations(store, clock) if stations is None else stations
        self._stations.begin(configuration.stations)
        self._samples: dict[str, Scan | None] = dict.fromkeys(self._stations.sources)
        """What was last shown of the samples of stations, by group."""
        layouts = [Layout(group, tags) for group, tags in configuration.columns.items()]
        self._layouts = {layout.group: (layout_id(layout), layout) for layout in layouts}
        self._outputs = self._make_outputs(means)
        self._keys = self._find_keys()
        self._raised = {name: stood.raised for name, stood in before.items() if stood.raised is not None}
        now_ns = clock.mono_ns()
        self._alarms = Alarms(
            configuration.alarms,
            {layout.group: layout.tags for layout in layouts},
            {name: self._resume(stood, now_ns) for name, stood in before.items()},
            self._name_occurrence,
            [tag.name for tag in configuration.tags if tag.unit == RAIN_UNIT],
        )
        self._commanded = Commanded(self._alarms, self._announce, self._mandates, clock)
        self._hurried = Hurried(self._collectors, self._mandates, clock, store.put_audit)
        self._is_due_sooner = asyncio.Event()
        self._resume_outputs()
        self._clear_orphans(before, now_ns)
        for change in self._alarms.start(now_ns):
            self._announce(change)
        self._commanded.resume(now_ns)
        self._hurried.resume(now_ns)

    def _make_outputs(self, means: Means) -> dict[str, Output]:
        interlock = Interlock(means.gateway, means.key_file)
        return {
            entry.name: Output(
                entry,
                make_switch(entry, self._write, means.programs),
                find_refusal=interlock.find_refusal,
                journal=self._store.put_event,
                on_fault=self._take_fault,
                mono_ns=self._clock.mono_ns,
                wall_at=self._clock.wall_at,
            )
            for entry in self.configuration.outputs
        }

    def _find_keys(self) -> dict[str, list[tuple[int, Output]]]:
        """The maintenance keys by group: the key's column, and the output that it keeps off."""
        found: dict[str, list[tuple[int, Output]]] = {}
        for group, tags in self.configuration.columns.items():
            for output in self._outputs.values():
                if output.entry.inhibit in tags:
                    found.setdefault(group, []).append((tags.index(output.entry.inhibit), output))
        return found

    def _resume(self, stood: Remembered, now_ns: int) -> Standpoint:
        """A shelving whose end cannot be told ends now: silence must not outlast what was asked for."""
        until_ns = NEVER
        if Standing.SHELVED in stood.standing:
            wall_ns = self._clock.wall_at(now_ns)
            left_ns = 0 if wall_ns is None or stood.until_ns is None else stood.until_ns - wall_ns
            until_ns = now_ns + left_ns
        return Standpoint(standing=stood.standing, occurrence=stood.occurrence, until_ns=until_ns)

    def _name_occurrence(self, mono_ns: int) -> int:
        """The time of a raise names it: UTC, or that of this boot while there is no other."""
        return self._clock.wall_at(mono_ns) or mono_ns or 1

    def _resume_outputs(self) -> None:
        for output in self._outputs.values():
            output.resume(
                {
                    name: one.alarm.standing
                    for name, one in self._alarms.states.items()
                    if output.entry.name in one.rule.outputs
                }
            )

    def _clear_orphans(self, before: Mapping[str, Remembered], now_ns: int) -> None:
        """An alarm whose rule is gone can never return to normal: say so, or it would stand for ever."""
        wall = self._clock.wall_at(now_ns)
        for name in before.keys() - self._alarms.states.keys():
            tag, _, level = name.partition(":")
            raised = self._raised.pop(name, None) or AlarmRecord(now_ns, wall, name, tag, level, CLEARED, 4, None)
            quality = int(Quality.BAD_CONFIG)
            gone = {"mono_ns": now_ns, "wall_ns": wall, "change": CLEARED, "value": None, "quality": quality}
            self._store.put_event(msgspec.structs.replace(raised, **gone, standing=0, until_ns=None))

    async def run(self) -> None:
        """Acquire until cancelled. A line that breaks down restarts alone."""
        works: dict[str, Callable[[], Awaitable[None]]] = {
            "accounts": self._watch_accounts,
            "alarms": self._watch_time,
            "waveforms": self._stations.keep,
            **(
                {"stations": self._run_stations, "clock": self._stations.watch_clock}
                if self.configuration.stations
                else {}
            ),
            **{f"collect[{collector.line.name}]": collector.run for collector in self._collectors},
            **{f"output[{name}]": output.run for name, output in self._outputs.items()},
        }
        tasks = [
            asyncio.create_task(supervise(name, work, self._store.put_audit), name=name) for name, work in works.items()
        ]
        try:
            # No task group: that cancels once, and a driver whose answer comes in that moment takes no notice.
            await asyncio.wait(tasks)
        finally:
            await end(*tasks)

    async def leave(self, coming: Configuration | None) -> None:
        """Once `run` has ended: bring each output that what comes does not have to its fail-safe state.

        ``coming`` is None at the end of the agent. Lines that this opened are closed, GPIO lines are let go of.
        """
        for line in self._lines.values():
            line.retire("the configuration was changed" if coming else "the agent stops")
        kept = {entry.target for entry in coming.outputs} if coming else set()
        cause = "removed" if coming else "stop"
        left = [output for output in self._outputs.values() if output.entry.target not in kept]
        await asyncio.gather(*(output.fail_safe(cause) for output in left))
        for output in self._outputs.values():
            output.release()
        for line in self._lines.values():
            if line.is_up:
                await line.close()

    async def _watch_accounts(self) -> None:
        accounts = Accounts()
        while True:
            await asyncio.sleep(ACCOUNTS_S)
            for wrong in accounts.find_wrong(self.groups().items()):
                log.error("scans are not accounted for: %s", wrong)
                self._store.put_audit(UNBALANCED_EVENT, wrong)

    async def _watch_time(self) -> None:
        """Let delays, silences and shelvings end though nothing comes."""
        while True:
            for change in self._alarms.tick(self._clock.mono_ns()):
                self._announce(change)
            self._is_due_sooner.clear()
            wait_s = (self._alarms.due_ns - self._clock.mono_ns()) / NS
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(wait_s, TICK_LEAST_S), TICK_MOST_S)):
                    await self._is_due_sooner.wait()

    def operate(self, operation: Operation) -> str:
        """Do what an operator asks of an alarm; say what was done. Raises OperationError if it does not take this."""
        changes = self._alarms.operate(operation, self._clock.mono_ns())
        for change in changes:
            self._announce(change)
        done = ", ".join(f"{change.rule.name} {change.change}" for change in changes)
        return done or f"{operation.request.alarm} stands so already"

    def command_alarm(self, request: RaiseRequest) -> str:
        """Raise or clear an alarm of level commanded; say what was done. Raises OperationError if there is none."""
        done = self._commanded.command(request)
        self._is_due_sooner.set()
        return done

    def hurry(self, request: HurryRequest) -> str:
        """Read groups more densely for a while, or no longer; say what was granted. Raises OperationError if none of
        them is here."""
        return self._hurried.hurry(request)

    def test_output(self, name: str, lasts_s: float) -> str:
        """Switch an output on for some seconds; say what was done. Raises OperationError if it cannot be tested now."""
        output = self._outputs.get(name)
        if output is None:
            raise OperationError(
                f"there is no output '{name}'", hint=f"there are: {', '.join(self._outputs) or 'none'}"
            )
        if refusal := output.find_test_refusal():
            raise OperationError(f"output {name} is not tested: {refusal}", hint="try again when that has changed")
        output.test(lasts_s)
        return f"output {name} is on for {lasts_s:g} s"

    def alarms(self) -> tuple[AlarmView, ...]:
        """Every alarm that is not normal, in no order."""
        return tuple(self._view(name) for name, one in self._alarms.states.items() if one.alarm.standing)

    def _view(self, name: str) -> AlarmView:
        one, raised, now_ns = self._alarms.states[name], self._raised.get(name), self._clock.mono_ns()
        rule, alarm = one.rule, one.alarm
        return AlarmView(
            name=name,
            tag=rule.tag,
            level=rule.level,
            title=rule.title,
            priority=rule.priority,
            standing=alarm.standing,
            occurrence=alarm.occurrence,
            raised_ns=raised.wall_ns if raised else None,
            raised_mono_ns=raised.mono_ns if raised else now_ns,
            until_ns=self._until(alarm.until_ns),
            value=raised.value if raised else None,
            limit=rule.limit,
            source=rule.source,
            shelve_most_h=rule.shelve_most_h,
            outputs=rule.outputs,
        )

    def remembered(self) -> dict[str, Remembered]:
        """The alarms that are not normal, for what runs next."""
        return {
            name: Remembered(
                standing=one.alarm.standing,
                until_ns=self._until(one.alarm.until_ns),
                occurrence=one.alarm.occurrence,
                raised=self._raised.get(name),
            )
            for name, one in self._alarms.states.items()
            if one.alarm.standing
        }

    def _until(self, until_ns: int) -> int | None:
        return None if until_ns == NEVER else self._clock.wall_at(until_ns)

    def take(self, scan: Scan) -> None:
        """Take a scan, and what it derives: alarms and outputs first, then memory, then the spool. Never waits."""
        if scan.group in self._samples:
            self._take_samples(scan)
            return
        for made in self._pipeline.process(scan):
            self._use(made)

    def _take_samples(self, scan: Scan) -> None:
        """Take samples of a station: what it makes of them is used; they themselves concern alarms that watch them, and
        now and then the live view."""
        for made in self._stations.take(scan):
            self._use(made)
        for made in self._pipeline.process(scan):
            if made.group != scan.group:
                self._use(made)
                continue
            self._judge(made)
            shown = self._samples[made.group]
            if shown is None or made.mono_ns - shown.mono_ns >= SHOWN_NS or made.quality != shown.quality:
                self._samples[made.group] = made
                self._newest.put(self._layouts[made.group][1].tags, made)

    async def _run_stations(self) -> None:
        await self._stations.run(self._use)

    def _use(self, scan: Scan) -> None:
        self._judge(scan)
        key, layout = self._layouts[scan.group]
        self._newest.put(layout.tags, scan)
        kept = self._pipeline.thin(scan)
        if kept is not None:
            wall = self._clock.wall_at(scan.mono_ns)
            record = ScanRecord(key, scan.mono_ns, wall, kept.values, kept.quality, kept.columns)
            self._store.put_scan(record, layout)

    def _judge(self, scan: Scan) -> None:
        for index, output in self._keys.get(scan.group, ()):
            output.turn_key(scan.values[index], scan.quality[index], scan.mono_ns)
        for change in self._alarms.evaluate(scan):
            self._announce(change)
        if self._alarms.due_ns < scan.mono_ns + TICK_MOST_S * NS:
            self._is_due_sooner.set()

    def _take_fault(self, output: str, fault: str) -> None:
        """An output that does not answer is an alarm; ``fault`` is empty once it does."""
        for change in self._alarms.heed(f"{output}:{OUTPUT_FAULT}", self._clock.mono_ns(), holds=bool(fault)):
            self._announce(change)
        self._is_due_sooner.set()

    def _announce(self, change: Change) -> None:
        """Tell the outputs, then the spool."""
        rule = change.rule
        for name in rule.outputs:
            self._outputs[name].apply(rule.name, change.standing, change.mono_ns)
        record = self._record(change)
        if isinstance(record, AlarmRecord) and change.change == RAISED:
            self._raised[rule.name] = record
        if not change.standing:
            self._raised.pop(rule.name, None)
        if change.change == CLEARED and rule.level == COMMANDED:
            self._mandates.drop(RAISE, (rule.name,))
        self._store.put_event(record)

    def _record(self, change: Change) -> AlarmRecord | StandingRecord:
        rule, mono = change.rule, change.mono_ns
        wall, until = self._clock.wall_at(mono), self._until(change.until_ns)
        standing = int(change.standing)
        if change.change in (RAISED, CLEARED):
            return AlarmRecord(
                mono,
                wall,
                rule.name,
                rule.tag,
                rule.level,
                change.change,
                rule.priority,
                change.value,
                rule.limit,
                change.quality,
                standing,
                until,
                change.occurrence,
            )
        asked = change.operation
        who = (asked.by, asked.where, asked.request.comment, asked.command) if asked else ("", "", "", "")
        return StandingRecord(
            mono,
            wall,
            rule.name,
            rule.tag,
            rule.level,
            change.change,
            rule.priority,
            standing,
            until,
            change.occurrence,
            *who,
        )

    async def _write(self, tag: str, value: Value) -> None:
        await self._line_of[tag].write(tag, value)

    @property
    def raised(self) -> int:
        """How many alarms are active."""
        return sum(one.alarm.is_active for one in self._alarms.states.values())

    @property
    def group_names(self) -> Collection[str]:
        """The groups whose scans there will be."""
        return self._layouts.keys()

    def groups(self) -> dict[str, GroupHealth]:
        """The accounting of every scan group."""
        read = {name: health for collector in self._collectors for name, health in collector.groups().items()}
        return read | self._pipeline.groups() | self._stations.groups()

    def hurried(self) -> dict[str, float]:
        """The groups that are read more densely than configured: their periods now, in s."""
        return self._hurried.granted()

    def buses(self, uptime_s: float) -> dict[str, BusHealth]:
        """The state of every bus."""
        return {line.name: _bus_health(line, uptime_s) for line in self._lines.values()}

    def sights(self) -> dict[str, Sight]:
        """How every bus and device looks, by its place."""
        return {place: sight for collector in self._collectors for place, sight in collector.sights().items()}

    def lines(self) -> tuple[str, ...]:
        """The addresses that are acquired."""
        return tuple(filter(None, (str(getattr(bus.settings, "url", "")) for bus in self.configuration.buses)))

    def find_line(self, device: str) -> Line | None:
        """The line that a device is read on; None if there is no such device, or nothing of it is read."""
        groups = ((line, one.group) for line in self._lines.values() for one in line.bus.groups)
        return next((line for line, group in groups if group.device_name == device), None)

    def find_bus(self, name: str) -> Line | None:
        """The line of a bus, None if there is no such bus."""
        return self._lines.get(name)

    @property
    def bus_names(self) -> tuple[str, ...]:
        """The buses that are acquired."""
        return tuple(self._lines)

    def outputs(self) -> dict[str, OutputHealth]:
        """The state of every output."""
        return {name: output.health() for name, output in self._outputs.items()}


def _bus_health(line: Line, uptime_s: float) -> BusHealth:
    devices = {scan_group.group.device_name for scan_group in line.bus.groups}
    return BusHealth(
        kind=line.bus.kind.kind,
        up=line.is_up,
        devices=len(devices),
        devices_bad=len(devices if not line.is_up else line.silence.bad_devices),
        busy=min(1.0, line.busy_s / uptime_s) if uptime_s > 0 else 0.0,
        error=line.fault,
    )
