"""One example of every message and record, with nothing left at its default."""

from __future__ import annotations

from wire.checklist import Check, Checklist
from wire.command import Command, Order, encode_order
from wire.conversation import Ack, Batch, Clock, Greet, Hello, Minute, Refused, Span, Tombstone, Welcome
from wire.health import BusHealth, GroupHealth, Health, LaneHealth, LinkHealth, OutputHealth
from wire.parts import Part
from wire.record import (
    ActionRecord,
    AlarmRecord,
    AuditRecord,
    FileRecord,
    FoldedRecord,
    Lane,
    Layout,
    QuakeRecord,
    Record,
    ScanRecord,
    StandingRecord,
    WaveformRecord,
    encode_record,
    layout_id,
)
from wire.sample import Live, Quality
from wire.topics import Down, Up
from wire.twin import AlarmInfo, Desired, DeviceInfo, Reported, TagInfo
from wire.update import Progress, Target

EPOCH = "00000001-0123456789abcdef0123456789abcdef"
MONO_NS = 5_000_000_000
WALL_NS = 1_790_000_000_000_000_000
CLOCK = Clock(offset_ns=WALL_NS - MONO_NS, quality="synced")
LAYOUT = Layout("tank.fast", ("tank.level", "tank.温度", "tank.mode"))

ORDER = Order(
    id="a1" * 16,
    gateway="gw-test-0001",
    name="log-level",
    arguments={"level": "debug", "minutes": 10},
    issued_ns=WALL_NS,
    expires_ns=WALL_NS + 3_600_000_000_000,
    author="李工",
)

RECORDS: dict[str, Record] = {
    "record-scan": ScanRecord(
        layout_id(LAYOUT), MONO_NS, WALL_NS, (52.5, None, "auto"), bytes((0, Quality.BAD_TIMEOUT, Quality.UNCERTAIN))
    ),
    "record-alarm": AlarmRecord(
        MONO_NS, WALL_NS, "tank.level:high-high", "tank.level", "high-high", "raised", 1, 95.5, 90.0, 0x41
    ),
    "record-action": ActionRecord(MONO_NS, WALL_NS, "siren", "on", "tank.level:high-high", 12_000_000, "没有应答"),
    "record-audit": AuditRecord(MONO_NS, None, "command-done", "report of 李工: reported again", "a1" * 16),
    "record-folded": FoldedRecord(MONO_NS, WALL_NS, "tank.level:high", 17, 1_000_000_000, WALL_NS - 4_000_000_000),
    "record-waveform": WaveformRecord("XX.RS001.00.EHZ", MONO_NS, WALL_NS, 100.0, 3, "int32", bytes(range(12))),
    "record-standing": StandingRecord(
        MONO_NS,
        WALL_NS,
        "tank.level:high",
        "tank.level",
        "high",
        "shelved",
        2,
        9,
        WALL_NS,
        7,
        "李工",
        "console",
        "检修",
        "a1" * 16,
    ),
    "record-quake": QuakeRecord(
        "FS.LJ001",
        MONO_NS,
        WALL_NS,
        WALL_NS - 1_000_000_000,
        "grown",
        WALL_NS - 1_000_000_000,
        WALL_NS - 200_000_000,
        1.0,
        509.8,
        88.4,
        30.4,
        9.6,
        5.8,
        9,
    ),
    "record-file": FileRecord(MONO_NS, WALL_NS, "a1" * 16, 1, 2, b"\x1f\x8b"),
}

MESSAGES = {
    Up.HELLO: Hello(
        gateway="gw-test-0001",
        boot="boot-1",
        release="0.1.0",
        machine="machine-1",
        clock=CLOCK,
        epochs={EPOCH: {Lane.ALARMS: Span(first=1, head=3), Lane.MEASUREMENTS: Span(first=10, head=99)}},
        id="5e1f",
    ),
    Up.BATCH: Batch(
        session="7",
        round=2,
        epoch=EPOCH,
        lane=Lane.MEASUREMENTS,
        first=10,
        items=tuple(encode_record(record) for record in RECORDS.values()),
        boot="boot-1",
        clock=CLOCK,
        layouts={layout_id(LAYOUT): LAYOUT},
        tombstone=Tombstone(
            last=99,
            reason="quota",
            from_ns=MONO_NS,
            to_ns=MONO_NS + 60_000_000_000,
            minutes=(
                Minute(layout_id(LAYOUT), MONO_NS, (3, 0, 0), (1.5, None, None), (2.5, None, None), (2.0, None, None)),
            ),
        ),
    ),
    Up.LIVE: Live(tags={"tank.level": (52.5, 0, WALL_NS), "tank.mode": ("auto", 0x40, None)}),
    Up.REPORTED: Reported(
        version=3,
        release="0.1.0",
        title="罐区",
        site="yufu-chem",
        sector="chemical",
        config={"bus": [{"name": "plc", "kind": "modbus"}]},
        tags=(
            TagInfo(
                name="tank.level",
                title="液位",
                unit="%",
                device="tank",
                group="fast",
                low=0.0,
                high=100.0,
                limits={"high": 80.0},
            ),
        ),
        alarms=(
            AlarmInfo(name="tank.level:high", tag="tank.level", level="high", limit=80.0, priority=2, title="高液位"),
        ),
        devices=(DeviceInfo(name="tank", title="1# 罐", bus="plc", profile="acme_tank"),),
        refused=2,
        reason="bus[1].kind: there is no driver 'modbuss'",
        commands=("log-level", "report"),
    ),
    Up.HEALTH: Health(
        release="0.1.0",
        uptime_s=12.5,
        clock="holdover",
        lanes={Lane.ALARMS: LaneHealth(assigned=5, delivered=3, pending=1, tombstoned=1)},
        groups={"tank.fast": GroupHealth(due=10, good=7, bad=2, missed=1)},
        buses={"plc": BusHealth(kind="modbus", up=True, devices=2, devices_bad=1, busy=0.25, error="no answer")},
        outputs={"siren": OutputHealth(state="on", since_ns=WALL_NS, error="no answer")},
        spool_bytes=4096,
        spool_max_bytes=1_000_000,
        live_tags=3,
        link=LinkHealth(
            sent_bytes=9000,
            rate_bytes_per_s=1000.5,
            alarms_only="budget",
            budget_left_bytes=-300,
            overdrawn_bytes=300,
        ),
    ),
    Up.PART: Part(kind="reported", number=4, index=1, count=3, octets=b"\x01\x00\xff"),
    Up.CHECKLIST: Checklist(
        checks=(
            Check(
                kind="device", subject="tank", title="1# 罐", state="failed", fault="device-silent", detail="no answer"
            ),
        ),
    ),
    Up.PROGRESS: Progress(
        action="41",
        kind="agent",
        version="0.2.0",
        step="downloading",
        detail="link lost, goes on",
        done=4096,
        of=9000,
        at_ns=WALL_NS,
    ),
    Down.TARGET: Target(action="41", kind="agent", version="0.2.0", until_ns=WALL_NS, budget_bytes_per_s=50_000),
    Down.WELCOME: Welcome(
        session="7",
        window=65536,
        time=WALL_NS,
        cursors={EPOCH: {Lane.MEASUREMENTS: 9}},
        joins_parts=True,
        hello="5e1f",
    ),
    Down.ACK: Ack(session="7", epoch=EPOCH, lane=Lane.MEASUREMENTS, committed=13),
    Down.REFUSED: Refused(session="7", round=2, epoch=EPOCH, lane=Lane.MEASUREMENTS, expected=4),
    Down.GREET: Greet(reason="ingest restarted"),
    Down.COMMAND: Command(order=encode_order(ORDER), signature=bytes(range(64))),
    Down.DESIRED: Desired(version=4, config={"bus": [{"name": "plc", "kind": "modbus", "timeout_s": 0.5}]}),
}
