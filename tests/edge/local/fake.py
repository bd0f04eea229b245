"""A gateway that stands still: what the page shows is what a test put there."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from edge.health import State
from edge.local.site import Arrival, Limit, Nameplate, Reading
from edge.operating import AlarmView, Operation, OperationError
from edge.twin import Outcome
from wire.alarm import Standing
from wire.health import BusHealth, GroupHealth, Health, LaneHealth, LinkHealth, OutputHealth
from wire.record import Lane
from wire.sample import Quality
from wire.twin import DeviceInfo, TagInfo

NS = 1_000_000_000
NOW_NS = 1_790_000_000 * NS
NEW = Standing.ACTIVE | Standing.UNACKNOWLEDGED


def alarm(name: str, **changes: object) -> AlarmView:
    tag, _, level = name.partition(":")
    view = AlarmView(
        name=name, tag=tag, level=level, title="", priority=2, standing=NEW, occurrence=7, raised_ns=NOW_NS - 90 * NS,
        raised_mono_ns=900 * NS, until_ns=None, value=86.4, limit=85.0, source="GB/T 50493-2019", shelve_most_h=8.0,
        outputs=("siren",),
    )  # fmt: skip
    return msgspec.structs.replace(view, **changes)


def tag(name: str, title: str, unit: str, start: float | None, end: float | None, **limits: float) -> TagInfo:
    device = name.partition(".")[0]
    named = {level.replace("_", "-"): limit for level, limit in limits.items()}
    return TagInfo(name=name, title=title, unit=unit, device=device, group="fast", low=start, high=end, limits=named)


class FakeSite:
    """A tank farm of two devices. ``asked`` keeps the operations; ``refusal`` refuses the next ones, and without
    ``takes`` the disk keeps none."""

    def __init__(self) -> None:
        self.coming: Arrival | None = None
        self.raised = {
            one.name: one
            for one in (
                alarm("t-101.level:high-high", priority=1, raised_mono_ns=1000 * NS),
                alarm("gd-03.gas:high", priority=2, raised_mono_ns=950 * NS, value=27.1, limit=25.0),
                alarm("t-101.temperature:high", priority=3, standing=Standing.ACTIVE, value=51.2, limit=50.0),
                alarm("gd-03.gas:bad", priority=4, standing=Standing.LATCHED, limit=None, value=None, source=""),
                alarm(
                    "t-101.pressure:high",
                    priority=2,
                    standing=NEW | Standing.SHELVED,
                    until_ns=NOW_NS + 1800 * NS,
                    value=0.43,
                    limit=0.42,
                ),
                alarm("t-101.level:low", standing=Standing(0)),
            )
        }
        self.known = {
            one.name: one
            for one in (
                tag("t-101.level", "液位", "%", 0, 100, low=10, high=80, high_high=85),
                tag("t-101.temperature", "温度", "℃", -20, 80, high=50, high_high=60),
                tag("t-101.pressure", "压力", "MPa", 0, 0.5, high_high=0.42),
                tag("gd-03.gas", "可燃气", "%LEL", 0, 100, high=25, high_high=50),
                tag("gd-03.fault", "故障触点", "", None, None),
            )
        }
        self.newest = {
            "t-101.level": Reading(86.4, Quality.GOOD, 0.4),
            "t-101.temperature": Reading(51.2, Quality.UNCERTAIN_STEP, 3.0),
            "t-101.pressure": Reading(0.43, Quality.GOOD, 3.0),
            "gd-03.gas": Reading(None, Quality.BAD_TIMEOUT, 75.0),
        }
        self.plate = Nameplate(
            gateway="gw-yufu-0012", title="鱼复化工 罐区", site="yufu-chem", sector="chemical", machine="4c4c4544-0042",
            release="0.1.0",
        )  # fmt: skip
        self.instruments = (
            DeviceInfo(name="t-101", title="甲醇储罐", bus="plc"),
            DeviceInfo(name="gd-03", title="泵房探测器", bus="rs485-1"),
        )
        self.asked: list[Operation] = []
        self.refusal = ""
        self.takes = True
        self.more_limits: dict[str, list[Limit]] = {}

    def identity(self) -> Nameplate:
        return self.plate

    def alarms(self) -> tuple[AlarmView, ...]:
        return tuple(self.raised.values())

    def operate(self, operation: Operation) -> str:
        if self.refusal:
            raise OperationError(self.refusal)
        self.asked.append(operation)
        old = self.raised.get(operation.request.alarm)
        if old is not None and operation.action == "acknowledge":
            standing = old.standing & ~Standing.UNACKNOWLEDGED
            self.raised[old.name] = msgspec.structs.replace(old, standing=standing)
        return operation.action

    async def keep(self) -> bool:
        return self.takes

    def tags(self) -> dict[str, TagInfo]:
        return self.known

    def limits(self) -> dict[str, list[Limit]]:
        priorities = {"high-high": 1, "low-low": 1}
        return {
            name: [Limit(at, level.startswith("high"), priorities.get(level, 2)) for level, at in info.limits.items()]
            for name, info in self.known.items()
        } | self.more_limits

    def devices(self) -> tuple[DeviceInfo, ...]:
        return self.instruments

    def readings(self, tags: Iterable[TagInfo]) -> dict[str, Reading]:
        return {one.name: self.newest[one.name] for one in tags if one.name in self.newest}

    def now_ns(self) -> int | None:
        return NOW_NS

    def health(self) -> Health:
        return Health(
            release="0.1.0", uptime_s=90_000, clock="holdover",
            lanes={
                Lane.ALARMS: LaneHealth(assigned=120, delivered=118, pending=2),
                Lane.MEASUREMENTS: LaneHealth(assigned=90_000, delivered=80_000, pending=9_000, tombstoned=1_000),
            },
            groups={"t-101.fast": GroupHealth(due=100, good=98, bad=1, missed=1)},
            buses={
                "plc": BusHealth(kind="modbus", up=True, devices=1, busy=0.2),
                "rs485-1": BusHealth(
                    kind="modbus", up=False, devices=1, devices_bad=1, error="/dev/ttyUSB0 cannot be opened"
                ),
            },
            outputs={
                "siren": OutputHealth(state="on", since_ns=NOW_NS - 60 * NS),
                "fan": OutputHealth(state="unknown", error="unit 5 does not answer"),
            },
            spool_bytes=412_000_000, spool_max_bytes=1_000_000_000,
            link=LinkHealth(sent_bytes=1_200_000, rate_bytes_per_s=800, alarms_only="rate", budget_left_bytes=20_000),
        )  # fmt: skip

    def arrival(self) -> Arrival | None:
        return self.coming

    def state(self) -> State:
        return State(
            gateway="gw-yufu-0012", is_connected=True, has_session=False, spool_fault="", uplink_fault="broken pipe",
            dropped=0, rejected=0, config_version=37, alarms_raised=4, commands_ignored={},
            config_trial=Outcome(trial="returned", version=38, since_ns=NOW_NS - 90 * NS, unanswered=("bus far",)),
            config_refused=38, config_reason="not well again within 120 s, but well before: bus plc",
        )  # fmt: skip


def flood(site: FakeSite, count: int) -> None:
    """Raise so many alarms within ten seconds, the most urgent ones last, and put them in no order."""
    site.raised = {}
    for number in reversed(range(count)):
        name = f"t-{number:04}.level:high"
        priority = 1 if number >= count - 5 else 3
        site.raised[name] = alarm(name, priority=priority, raised_mono_ns=(2000 * count + number * 10) * 1_000_000)
