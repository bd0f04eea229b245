"""One running configuration: its lines, collectors, alarms and outputs. A new configuration is a new one of these.

collector -> Acquisition.take(scan) -> pipeline (checks, derived tags), and for each scan that makes:
                                    -> alarms -> outputs          before anything is stored or sent
                                    -> newest (live)
                                    -> store (lane A, then M)     what is reported of it
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection, Mapping

import msgspec

from drivers.base import Scan
from edge.accounts import UNBALANCED_EVENT, Accounts
from edge.alarms import Alarms, Transition
from edge.clock import SystemClock
from edge.collect import Collector
from edge.line import Line
from edge.live import Newest
from edge.operating import AlarmView, Operation, OperationError
from edge.outputs import Output, resume_outputs
from edge.pipeline import Pipeline
from edge.settings import AlarmRule, Configuration
from edge.store import Store
from edge.supervise import supervise
from wire.alarm import Standing
from wire.health import BusHealth, GroupHealth, OutputHealth
from wire.record import AlarmRecord, Layout, ScanRecord, layout_id
from wire.sample import Quality, Value

log = logging.getLogger(__name__)

ACCOUNTS_S = 10.0
"""Between two looks at the accounts of all groups."""


class Acquisition:
    """Run `run` as a task; cancel it to stop."""

    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        newest: Newest,
        clock: SystemClock,
        raised: Mapping[str, AlarmRecord],
        jitter: random.Random,
    ) -> None:
        self.configuration = configuration
        self._store = store
        self._newest = newest
        self._clock = clock
        self._lines = {bus.name: Line(bus, store.commit) for bus in configuration.buses}
        self._line_of = {
            tag: self._lines[bus.name]
            for bus in configuration.buses
            for group in bus.groups
            for tag in group.group.tags
        }
        self._collectors = [
            Collector(line, self.take, mono_ns=clock.mono_ns, jitter=jitter, journal=store.put_audit)
            for line in self._lines.values()
        ]
        self._pipeline = Pipeline(configuration)
        layouts = [Layout(group, tags) for group, tags in configuration.columns.items()]
        self._layouts = {layout.group: (layout_id(layout), layout) for layout in layouts}
        self._alarms = Alarms(configuration.alarms, {layout.group: layout.tags for layout in layouts}, raised)
        self._outputs = {
            entry.name: Output(entry, self._write, store.put_event, clock.mono_ns, clock.wall_at)
            for entry in configuration.outputs
        }
        self.raised_records = dict(raised)
        """The alarms that are up, as they were raised; what runs next takes them over."""
        resume_outputs(self._outputs.values(), self._alarms.raised)
        self._clear_orphans()

    def _clear_orphans(self) -> None:
        """An alarm whose rule is gone can never return to normal: say so, or it would stand for ever."""
        known = {rule.name for rule in self._alarms.raised}
        mono = self._clock.mono_ns()
        wall = self._clock.wall_at(mono)
        for name in self.raised_records.keys() - known:
            orphan = self.raised_records.pop(name)
            self._store.put_event(
                msgspec.structs.replace(
                    orphan, mono_ns=mono, wall_ns=wall, change="cleared", value=None, quality=int(Quality.BAD_CONFIG)
                )
            )

    async def run(self) -> None:
        """Acquire until cancelled. A line that breaks down restarts alone."""
        async with asyncio.TaskGroup() as tasks:
            for collector in self._collectors:
                name = f"collect[{collector.line.name}]"
                tasks.create_task(supervise(name, collector.run, self._store.put_audit), name=name)
            tasks.create_task(self._watch_accounts(), name="accounts")
            for output in self._outputs.values():
                name = f"output[{output.entry.name}]"
                tasks.create_task(supervise(name, output.run, self._store.put_audit), name=name)
            await asyncio.Event().wait()  # also where there is nothing to acquire

    async def _watch_accounts(self) -> None:
        accounts = Accounts()
        while True:
            await asyncio.sleep(ACCOUNTS_S)
            for wrong in accounts.find_wrong(self.groups().items()):
                log.error("scans are not accounted for: %s", wrong)
                self._store.put_audit(UNBALANCED_EVENT, wrong)

    def take(self, scan: Scan) -> None:
        """Take a scan, and what it derives: alarms and outputs first, then memory, then the spool. Never waits."""
        for made in self._pipeline.process(scan):
            self._use(made)

    def _use(self, scan: Scan) -> None:
        for change in self._alarms.evaluate(scan):
            self._announce(change)
        key, layout = self._layouts[scan.group]
        self._newest.put(layout.tags, scan)
        kept = self._pipeline.thin(scan)
        if kept is not None:
            wall = self._clock.wall_at(scan.mono_ns)
            record = ScanRecord(key, scan.mono_ns, wall, kept.values, kept.quality, kept.columns)
            self._store.put_scan(record, layout)

    def _announce(self, change: Transition) -> None:
        rule = change.rule
        for name in rule.outputs:
            self._outputs[name].apply(change)
        record = AlarmRecord(
            change.mono_ns,
            self._clock.wall_at(change.mono_ns),
            rule.name,
            rule.tag,
            rule.level,
            change.change,
            rule.priority,
            change.value,
            rule.limit,
            change.quality,
        )
        if change.change == "raised":
            self.raised_records[rule.name] = record
        else:
            self.raised_records.pop(rule.name, None)
        self._store.put_event(record)

    async def _write(self, tag: str, value: Value) -> None:
        await self._line_of[tag].write(tag, value)

    def alarms(self) -> tuple[AlarmView, ...]:
        """List the alarms that are up."""
        rules = {rule.name: rule for rule in self._alarms.raised}
        return tuple(
            AlarmView(
                name=name,
                tag=record.tag,
                level=record.level,
                title=rules[name].title,
                priority=record.priority,
                standing=Standing(record.standing) | Standing.ACTIVE | Standing.UNACKNOWLEDGED,
                occurrence=record.occurrence,
                raised_ns=record.wall_ns,
                raised_mono_ns=record.mono_ns,
                until_ns=record.until_ns,
                value=record.value,
                limit=record.limit,
                source="",
                shelve_most_h=0.0,
                outputs=rules[name].outputs,
            )
            for name, record in self.raised_records.items()
        )

    def operate(self, operation: Operation) -> str:
        """Do what an operator asks of an alarm. Raises OperationError."""
        raise OperationError(f"alarm {operation.request.alarm} takes no '{operation.action}'")

    @property
    def raised(self) -> tuple[AlarmRule, ...]:
        """The rules whose alarm is up."""
        return self._alarms.raised

    @property
    def group_names(self) -> Collection[str]:
        """The groups whose scans there will be."""
        return self._layouts.keys()

    def groups(self) -> dict[str, GroupHealth]:
        """The accounting of every scan group."""
        read = {name: health for collector in self._collectors for name, health in collector.groups().items()}
        return read | self._pipeline.groups()

    def buses(self, uptime_s: float) -> dict[str, BusHealth]:
        """The state of every bus."""
        return {line.name: _bus_health(line, uptime_s) for line in self._lines.values()}

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
