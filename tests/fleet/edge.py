"""A scripted gateway: makes the messages an edge would send."""

from __future__ import annotations

from typing import Any

import msgspec

from fleet.backlog import Incoming
from tests.fleet.conftest import START_NS
from wire.codec import Message, encode
from wire.conversation import Batch, Clock, Hello, Span
from wire.record import AlarmRecord, Lane, Layout, Record, ScanRecord, encode_record, layout_id
from wire.topics import Up, format_topic
from wire.twin import Reported, TagInfo

GATEWAY = "gw-yufu-0001"
TANK = Layout("tank-01:fast", ("tank-01.level", "tank-01.temperature"))
SYNCED = Clock(offset_ns=START_NS, quality="synced")


def scan(seconds: float, *values: Any, quality: bytes = b"", wall: bool = True, layout: Layout = TANK) -> ScanRecord:
    mono = int(seconds * 1e9)
    return ScanRecord(layout_id(layout), mono, START_NS + mono if wall else None, values, quality)


def alarm(seconds: float, change: str, *, level: str = "high", value: float = 91.0) -> AlarmRecord:
    mono = int(seconds * 1e9)
    name = f"tank-01.level:{level}"
    return AlarmRecord(mono, START_NS + mono, name, "tank-01.level", level, change, 2, value, 90.0)


def hello(epoch: str = "e1", gateway: str = GATEWAY) -> Hello:
    epochs = {epoch: {Lane.MEASUREMENTS: Span(first=1, head=1)}}
    return Hello(gateway=gateway, boot="boot-1", release="0.1.0", machine="m-1", clock=SYNCED, epochs=epochs)


def batch(session: str, first: int, *records: Record | bytes, lane: Lane = Lane.MEASUREMENTS, **changes: Any) -> Batch:
    items = tuple(item if isinstance(item, bytes) else encode_record(item) for item in records)
    made = Batch(
        session=session, round=0, epoch="e1", lane=lane, first=first, items=items, boot="boot-1", clock=SYNCED,
        layouts={layout_id(TANK): TANK},
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def reported(version: int = 0, **changes: Any) -> Reported:
    tags = (
        TagInfo(name="tank-01.level", title="液位", unit="%", device="tank-01", low=0, high=100, limits={"high": 90.0}),
        TagInfo(name="tank-01.temperature", title="温度", unit="°C", device="tank-01"),
    )
    made = Reported(version=version, release="0.1.0", title="罐区", site="yufu-chem", tags=tags)
    return msgspec.structs.replace(made, **changes)


def up(kind: Up, message: Message, gateway: str = GATEWAY, received_ns: int = START_NS) -> Incoming:
    return Incoming(format_topic(gateway, kind), encode(message), received_ns)
