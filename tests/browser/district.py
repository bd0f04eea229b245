"""A fleet with one chemical park, one weather station and one silent gateway, all told through the real ingest."""

from __future__ import annotations

import itertools
import math
import threading
import time
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from fleet.accounts import service as accounts
from fleet.accounts.models import Role
from fleet.alarms.operations import NAMES
from fleet.backlog import Incoming
from fleet.bootstrap import Services, bootstrap
from fleet.commands.keys import found_key
from fleet.committer import Committer
from fleet.configs import service as configs
from fleet.gateways import service as gateways
from fleet.live import LiveHealth, LiveValue
from fleet.metrics import IngestMetrics
from fleet.migrations import revisions
from fleet.notifications import queue
from fleet.notifications import service as notifications
from fleet.notifications.rules import Contact, Rule, Rules
from fleet.readings import store
from fleet.relay import service as relay
from fleet.settings import Settings
from fleet.sites import service as sites
from wire.codec import Message, encode
from wire.conversation import Batch, Clock, Hello, Span, Tombstone, Welcome
from wire.health import BusHealth, Health, LaneHealth, OutputHealth
from wire.record import AlarmRecord, Lane, Layout, Record, ScanRecord, encode_record, layout_id
from wire.sample import Quality, Value
from wire.topics import Down, Up, format_topic
from wire.twin import AlarmInfo, DeviceInfo, Reported, TagInfo

NS = 1_000_000_000
USER, PASSWORD = "值班席 1", "correct horse battery"
PARK, WEATHER, QUAKE, SILENT = "gw-yufu-0012", "gw-longxing-0007", "gw-jiangbei-0003", "gw-shuitu-0031"
SCAN_S = 10
HOUR_S = 3600
ASKED = ("logs", "support-bundle", "read-device", "capture-bus")
"""What gateways can be asked in remote diagnosis."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A tag, what it stands at, and its rules: {level: (limit, priority)}."""

    tag: TagInfo
    base: float
    swing: float
    rules: dict[str, tuple[float, int]]
    climbs: bool = False

    def value(self, share: float, phase: float) -> float:
        """The value after a share of the hour."""
        if self.climbs:
            return round(self.base * (0.72 + 0.28 * share**3), 3)
        return round(self.base + self.swing * math.sin(phase + share * 9) + self.swing * 0.4 * math.sin(share * 47), 3)


def instrument(
    name: str, title: str, unit: str, low: float, high: float, base: float,
    rules: dict[str, tuple[float, int]] | None = None, climbs: bool = False,
) -> Instrument:  # fmt: skip
    limits = {level: limit for level, (limit, _) in (rules or {}).items()}
    device = name.partition(".")[0]
    tag = TagInfo(
        name=name, title=title, unit=unit, device=device, group=f"{device}:fast", low=low, high=high, limits=limits
    )
    return Instrument(tag=tag, base=base, swing=(high - low) * 0.006, rules=rules or {}, climbs=climbs)


LEVEL = {"high": (80.0, 2), "high-high": (85.0, 1), "low": (10.0, 3)}
GAS = {"high": (25.0, 2), "high-high": (50.0, 1)}
HOT = {"high": (50.0, 3), "high-high": (60.0, 2)}


def park_instruments() -> list[Instrument]:
    """Twelve tanks and eight gas detectors."""
    found = []
    for number, level in enumerate((91.2, 55, 62.4, 40, 71, 30, 22, 66, 48, 59, 35, 34), start=1):
        tank = f"t-{100 + number}"
        found += [
            instrument(f"{tank}.level", "液位", "%", 0, 100, level, LEVEL, climbs=number == 1),
            instrument(f"{tank}.temperature", "温度", "℃", -20, 80, 30 + number * 0.7, HOT),
            instrument(f"{tank}.pressure", "压力", "MPa", 0, 0.5, 0.18 + number * 0.004, {"high-high": (0.42, 1)}),
        ]
    for number, gas in enumerate((2, 3, 4, 3, 1, 2, 56, 0), start=1):
        found.append(instrument(f"gd-0{number}.gas", "可燃气", "%LEL", 0, 100, gas, GAS, climbs=number == 7))
    return found


def weather_instruments() -> list[Instrument]:
    """A weather station in heavy rain."""
    return [
        instrument(
            "wxt.rain", "小时雨量", "mm", 0, 100, 54.0, {"high": (30.0, 3), "high-high": (50.0, 2)}, climbs=True
        ),
        instrument("wxt.temperature", "气温", "℃", -40, 60, 18.3),
        instrument("wxt.humidity", "相对湿度", "%", 0, 100, 94.0),
        instrument("wind.speed", "风速", "m/s", 0, 60, 6.2, {"high": (17.2, 3)}),
    ]


def quake_instruments() -> list[Instrument]:
    """An accelerometer on a tower."""
    return [
        instrument(f"acc-1.{axis}", title, "g", -2, 2, base, {"high": (0.05, 2)})
        for axis, title, base in (("x", "加速度 东西", 0.001), ("y", "加速度 南北", -0.002), ("z", "加速度 竖向", 0.0))
    ]


STATIONS = {PARK: park_instruments, WEATHER: weather_instruments, QUAKE: quake_instruments}

CONFIG = {"output": [{"name": "siren", "title": "声光报警器"}, {"name": "valve", "title": "进料阀联锁"}]}
"""What every gateway was told to run, and runs."""


def bus_of(gateway: str, device: str) -> str:
    """The bus that a device is on, as health tells it."""
    if gateway != PARK:
        return "serial-1"
    return "plc" if device.startswith("t-") else "rs485-1"


class District:
    """The fleet under test. What it is told goes through `Committer`, as from the broker."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data_dir=folder, broker_password="broker-secret", secret_key="signing-key-of-the-test")
        self.services: Services = bootstrap(settings)
        revisions.upgrade(self.services.database.engine)
        found_key(folder)
        self.committer = Committer(self.services.database, IngestMetrics(CollectorRegistry()), time.time_ns)
        self.began_ns = time.time_ns() - HOUR_S * NS
        self._sessions: dict[str, str] = {}
        self._next: dict[tuple[str, Lane], int] = {}
        self._queued: list[Incoming] = []
        self._ended = threading.Event()
        self._held: dict[tuple[str, str], LiveValue] = {}
        self._lock = threading.Lock()
        with self.services.database.writing() as session:
            accounts.add(session, USER, PASSWORD, Role.OPERATOR, time.time_ns())

    # registers

    def settle(self) -> None:
        """Register the sites and gateways and let an hour pass."""
        with self.services.database.writing() as session:
            for key, title, sector in (
                ("yufu-chem", "鱼复化工", "chemical"),
                ("longxing", "龙兴自动气象站", "weather"),
                ("tower", "江北嘴大厦", "earthquake"),
                ("shuitu", "水土立交下穿", "waterlogging"),
            ):
                sites.add(session, key, title, sector, None, None)
            gateways.register(session, PARK, "鱼复化工 罐区", "yufu-chem", time.time_ns())
            gateways.register(session, WEATHER, "龙兴气象站", "longxing", time.time_ns())
            gateways.register(session, QUAKE, "江北嘴大厦 强震", "tower", time.time_ns())
            gateways.register(session, SILENT, "水土立交 积水", "shuitu", time.time_ns())
            for name in (PARK, WEATHER, QUAKE, SILENT):
                configs.put(session, name, CONFIG, 0, "值班席 1", time.time_ns() - 86_400 * 10**9)
            relay.add(session, "区共享平台", "http-json", "http://127.0.0.1:9/records", time.time_ns())
            relay.add(session, "市级危化", "http-json", "http://127.0.0.1:9/chem", time.time_ns())
        depth = instrument("wl-1.depth", "积水深度", "cm", 0, 200, 3.0, {"high": (15.0, 2), "high-high": (27.0, 1)})
        self.connect(SILENT, [depth], at_ns=time.time_ns() - 18 * 60 * NS)
        for gateway, instruments in STATIONS.items():
            self.connect(gateway, instruments())
            self.pass_hour(gateway, instruments())
        self.lose(SILENT, 1, 1180, "quota", 7200, 6020)
        self.lose(SILENT, 1181, 1200, "corrupt", None, None)
        # Of long ago, so that no alarm is up any more.
        with self.services.database.writing() as session:
            store.quarantine_message(session, SILENT, "batch", "a record fails its CRC " * 8, bytes(range(64)), NS)
        for ago_s, lasted_s in ((3100, 95), (2200, 41)):
            self.alarm(PARK, "gd-03.gas", "high", 27.1, ago_s=ago_s)
            self.alarm(PARK, "gd-03.gas", "high", 22.4, ago_s=ago_s - lasted_s, change="cleared")
        self.alarm(WEATHER, "wxt.rain", "high-high", 50.4, ago_s=662)
        self.alarm(PARK, "t-101.level", "high-high", 85.1, ago_s=134)
        self.alarm(PARK, "gd-07.gas", "high-high", 50.2, ago_s=41)
        with self.services.database.writing() as session:
            newest = max((row.position for row in relay.next_rows(session, Lane.MEASUREMENTS, 0, 10_000)), default=0)
            for number, destination in enumerate(relay.list_enabled(session)):
                for lane, to in ((Lane.ALARMS, newest + 1000), (Lane.MEASUREMENTS, newest - 12 * number)):
                    relay.note_delivered(session, destination.id, lane, to, 100, time.time_ns())
            relay.note_failed(
                session,
                relay.list_enabled(session)[1].id,
                Lane.MEASUREMENTS,
                "HTTP 503 Service Unavailable",
                time.time_ns(),
            )
        self.notify()

    def notify(self) -> None:
        """Tell two contacts of what is active, one of them in vain."""
        contacts = (Contact(name="duty", kind="email", address="d@x"), Contact(name="chief", kind="webhook"))
        rules = Rules(contacts=contacts, rules=(Rule(contacts=("duty", "chief")),))
        now_ns = time.time_ns()
        with self.services.database.writing() as session:
            queue.carry_out(session, queue.plan(session, rules, now_ns), now_ns)
            session.flush()
            for contact in contacts:
                notifications.make_message(session, contact, now_ns)
                session.flush()
                outgoing = notifications.find_outgoing(session, contact, now_ns)
                assert outgoing is not None
                if contact.name == "duty":
                    notifications.note_sent(session, outgoing.message_id, now_ns)
                else:
                    error = "ConnectError: All connection attempts failed"
                    notifications.note_failed(session, outgoing.message_id, error, now_ns)

    def connect(self, gateway: str, instruments: list[Instrument], at_ns: int | None = None) -> None:
        """Say hello, what runs, and how it feels."""
        at_ns = at_ns or time.time_ns()
        hello = Hello(
            gateway=gateway, boot="boot-1", release="0.1.0", machine=f"machine-{gateway}", clock=self._clock(),
            epochs={"e1": {lane: Span(first=1, head=1) for lane in (Lane.ALARMS, Lane.MEASUREMENTS)}},
        )  # fmt: skip
        replies = self.committer.commit([self._message(gateway, Up.HELLO, hello, at_ns)])
        welcome = replies[0].message
        assert isinstance(welcome, Welcome)
        self._sessions[gateway] = welcome.session
        devices = dict.fromkeys(row.tag.device for row in instruments)
        reported = Reported(
            version=1,
            release="0.1.0",
            tags=tuple(row.tag for row in instruments),
            alarms=tuple(
                AlarmInfo(name=f"{row.tag.name}:{level}", tag=row.tag.name, level=level, limit=limit, priority=priority)
                for row in instruments
                for level, (limit, priority) in row.rules.items()
            ),
            devices=tuple(DeviceInfo(name=name, title=name.upper(), bus=bus_of(gateway, name)) for name in devices),
            commands=(*NAMES, *ASKED),
            config=CONFIG,
        )
        self.committer.commit(
            [
                self._message(gateway, Up.REPORTED, reported, at_ns),
                self._message(gateway, Up.HEALTH, self.health(gateway), at_ns),
            ]
        )

    def health(self, gateway: str) -> Health:
        """How a gateway feels."""
        lanes = {
            Lane.ALARMS: LaneHealth(assigned=1204, delivered=1204),
            Lane.MEASUREMENTS: LaneHealth(assigned=38_201_442, delivered=38_201_440, pending=2),
        }
        buses = {"serial-1": BusHealth(kind="nmea", up=True, devices=2, busy=0.04)}
        outputs = {}
        if gateway == PARK:
            buses = {
                "plc": BusHealth(kind="modbus", up=True, devices=12, busy=0.12),
                "rs485-1": BusHealth(
                    kind="modbus", up=True, devices=8, devices_bad=1, busy=0.71, error="gd-08: unit 8 does not answer"
                ),
            }
            outputs = {
                "siren": OutputHealth(state="on", since_ns=time.time_ns() - 134 * NS),
                "valve": OutputHealth(state="off"),
            }
        return Health(
            release="0.1.0", uptime_s=12 * 86_400 + 5000, clock="synced", lanes=lanes, groups={}, buses=buses,
            outputs=outputs, spool_bytes=1_200_000_000, spool_max_bytes=8_000_000_000,
        )  # fmt: skip

    def pass_hour(self, gateway: str, instruments: list[Instrument]) -> None:
        """Commit an hour of scans, one group for each device."""
        by_device: dict[str, list[Instrument]] = {}
        for row in instruments:
            by_device.setdefault(row.tag.device, []).append(row)
        for number, (device, rows) in enumerate(by_device.items()):
            layout = Layout(f"{device}:fast", tuple(row.tag.name for row in rows))
            old, new = [], []
            for second in range(0, HOUR_S, SCAN_S):
                values = tuple(row.value(second / HOUR_S, number + i) for i, row in enumerate(rows))
                quality = b""
                if device == "gd-08" and second > HOUR_S - 400:
                    values, quality = (None,), bytes((Quality.BAD_TIMEOUT,))
                mono = second * NS
                scan = ScanRecord(layout_id(layout), mono, self.began_ns + mono, values, quality)
                (old if second < HOUR_S - 600 else new).append(scan)
            self.send(gateway, Lane.MEASUREMENTS, old, layout, at_ns=self.began_ns + (HOUR_S - 601) * NS)
            for scan in new:  # the last ten minutes came one by one, so that delivery lag is what it would be
                self.queue(gateway, Lane.MEASUREMENTS, [scan], layout, self.began_ns + scan.mono_ns + 800_000_000)
        self.commit_queued()

    def send(
        self, gateway: str, lane: Lane, records: list[Record], layout: Layout | None = None, at_ns: int | None = None
    ) -> None:
        """Hand records over, as an edge does."""
        self.queue(gateway, lane, records, layout, at_ns or time.time_ns())
        self.commit_queued()

    def queue(self, gateway: str, lane: Lane, records: list[Record], layout: Layout | None, at_ns: int) -> None:
        """Put a batch in line for the next commit."""
        first = self._next.get((gateway, lane), 1)
        self._next[gateway, lane] = first + len(records)
        batch = Batch(
            session=self._sessions[gateway], round=0, epoch="e1", lane=lane, first=first, boot="boot-1",
            items=tuple(encode_record(record) for record in records),
            clock=self._clock(), layouts={layout_id(layout): layout} if layout else {},
        )  # fmt: skip
        self._queued.append(self._message(gateway, Up.BATCH, batch, at_ns))

    def commit_queued(self) -> None:
        """Commit what stands in line. Everything must be taken."""
        replies = self.committer.commit(self._queued)
        self._queued.clear()
        assert {reply.kind for reply in replies} == {Down.ACK}, f"a batch was not taken: {replies}"

    def lose(
        self, gateway: str, first: int, last: int, reason: str, from_ago_s: int | None, to_ago_s: int | None
    ) -> None:
        """Declare measurements that the gateway had to give up."""
        mono = [
            None if ago_s is None else time.time_ns() - ago_s * NS - self.began_ns for ago_s in (from_ago_s, to_ago_s)
        ]
        batch = Batch(
            session=self._sessions[gateway], round=0, epoch="e1", lane=Lane.MEASUREMENTS, first=first, items=(),
            boot="boot-1", clock=self._clock(),
            tombstone=Tombstone(last=last, reason=reason, from_ns=mono[0], to_ns=mono[1]),
        )  # fmt: skip
        self._queued.append(self._message(gateway, Up.BATCH, batch, time.time_ns() - 18 * 60 * NS))
        self.commit_queued()

    def alarm(
        self, gateway: str, tag: str, level: str, value: float, *, ago_s: float = 0, change: str = "raised"
    ) -> None:
        """Raise or clear an alarm."""
        rows = {row.tag.name: row for row in (*park_instruments(), *weather_instruments())}
        limit, priority = rows[tag].rules[level]
        wall = time.time_ns() - int(ago_s * NS)
        record = AlarmRecord(wall - self.began_ns, wall, f"{tag}:{level}", tag, level, change, priority, value, limit)
        self.send(gateway, Lane.ALARMS, [record], at_ns=wall + 200_000_000)
        self.services.live.note_alarms()

    # live

    def say(self, gateway: str, tag: str, value: Value, quality: int = Quality.GOOD) -> None:
        """A newest value, from memory; it stays until the next one."""
        with self._lock:
            self._held[gateway, tag] = LiveValue(value, quality, time.time_ns())
        self.services.live.put_values(gateway, {tag: self._held[gateway, tag]})

    def forget(self) -> None:
        """Let every tag follow its instrument again."""
        with self._lock:
            self._held.clear()

    def keep_talking(self) -> None:
        """Let the gateways that are online send values and health once a second, in a thread of its own."""
        threading.Thread(target=self._talk, name="gateways", daemon=True).start()

    def _talk(self) -> None:
        rounds = itertools.count()
        stations = {gateway: instruments() for gateway, instruments in STATIONS.items()}
        while not self._ended.wait(1.0 if next(rounds) else 0.0):
            for gateway, rows in stations.items():
                values = {row.tag.name: LiveValue(row.value(1, i), 0, time.time_ns()) for i, row in enumerate(rows)}
                if gateway == PARK:
                    values["gd-08.gas"] = LiveValue(None, Quality.BAD_TIMEOUT, time.time_ns())
                    values["gd-03.gas"] = LiveValue(4.0, Quality.UNCERTAIN_STUCK, time.time_ns())
                with self._lock:
                    values.update({tag: value for (name, tag), value in self._held.items() if name == gateway})
                self.services.live.put_values(gateway, values)
                document = msgspec.json.decode(msgspec.json.encode(self.health(gateway)))
                self.services.live.put_health(gateway, LiveHealth(document, time.time_ns()))

    def close(self) -> None:
        """End the thread and let go of the database."""
        self._ended.set()
        self.services.close()

    def _clock(self) -> Clock:
        return Clock(offset_ns=self.began_ns, quality="synced")

    def _message(self, gateway: str, kind: Up, message: Message, at_ns: int) -> Incoming:
        return Incoming(format_topic(gateway, kind), encode(message), at_ns)
