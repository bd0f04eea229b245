"""A fleet that only counts: it acknowledges every batch and remembers what came when. Runs in a process of its own.

It decodes the batches itself, so that what it counts is what arrived, not what the agent says it sent. Commands come
line by line on standard input, answers go to standard output as JSON.
"""

from __future__ import annotations

import json
import queue
import sys
import time
from array import array
from collections import defaultdict
from typing import Any

import msgspec
import paho.mqtt.client as mqtt

from wire import codec
from wire.conversation import Ack, Batch, Hello, Welcome
from wire.parts import Assembler, Part
from wire.record import AlarmRecord, Lane, ScanRecord, decode_record
from wire.sample import Live, is_good
from wire.topics import Down, Up, format_topic, parse_topic, up_filter

WINDOW = 131_072


class Arrivals(msgspec.Struct):
    """What came of one thing: when it was read and when it arrived, ns, and how many good values it held."""

    read_ns: array[int] = msgspec.field(default_factory=lambda: array("q"))
    came_ns: array[int] = msgspec.field(default_factory=lambda: array("q"))
    good: array[int] = msgspec.field(default_factory=lambda: array("l"))

    def add(self, read_ns: int, came_ns: int, good: int) -> None:
        self.read_ns.append(read_ns)
        self.came_ns.append(came_ns)
        self.good.append(good)


class CountingFleet:
    """Answers as a fleet does. `report` may be called from another thread than the rest: what it reads only grows."""

    def __init__(self, client: mqtt.Client) -> None:
        self._client = client
        self._cursors: dict[str, dict[Lane, int]] = defaultdict(lambda: defaultdict(int))
        self._groups: dict[bytes, str] = {}
        self.scans: dict[str, Arrivals] = defaultdict(Arrivals)
        self.live = Arrivals()
        self.alarms = Arrivals()
        self.octets = 0
        self._parts = Assembler()

    def take(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        """Take a message of the gateway."""
        came_ns, came_wall = time.monotonic_ns(), time.time_ns()
        topic = parse_topic(message.topic)
        self.octets += len(message.payload)
        if topic.kind is not Up.PART:
            self._take_whole(topic.gateway, topic.kind, message.payload, came_ns, came_wall)
        elif whole := self._parts.take(topic.gateway, codec.decode(message.payload, Part)):
            self._take_whole(topic.gateway, *whole, came_ns, came_wall)

    def _take_whole(self, gateway: str, kind: Up | Down, payload: bytes, came_ns: int, came_wall: int) -> None:
        match kind:
            case Up.HELLO:
                hello = codec.decode(payload, Hello)
                cursors = {epoch: dict(lanes) for epoch, lanes in self._cursors.items()}
                welcome = Welcome(
                    session="1", window=WINDOW, time=time.time_ns(), cursors=cursors,
                    joins_parts=True, hello=hello.id, continues=True,
                )  # fmt: skip
                self._send(gateway, Down.WELCOME, welcome)
            case Up.BATCH:
                self._take_batch(gateway, codec.decode(payload, Batch), came_ns)
            case Up.LIVE:
                for wall_ns in {wall for _, _, wall in codec.decode(payload, Live).tags.values()}:
                    if wall_ns is not None:
                        self.live.add(came_ns - (came_wall - wall_ns), came_ns, 0)

    def _take_batch(self, gateway: str, batch: Batch, came_ns: int) -> None:
        self._groups.update((key, layout.group) for key, layout in batch.layouts.items())
        cursor = self._cursors[batch.epoch][batch.lane]
        if batch.first > cursor + 1:
            raise RuntimeError(f"a gap: expected {cursor + 1}, got {batch.first}")
        for item in batch.items[cursor + 1 - batch.first :]:
            record = decode_record(item)
            cursor += 1
            if isinstance(record, ScanRecord):
                good = sum(map(is_good, record.quality)) if record.quality else len(record.values)
                self.scans[self._groups[record.layout]].add(record.mono_ns, came_ns, good)
            elif isinstance(record, AlarmRecord):
                self.alarms.add(record.mono_ns, came_ns, 1)
        self._cursors[batch.epoch][batch.lane] = cursor
        self._send(gateway, Down.ACK, Ack(session="1", epoch=batch.epoch, lane=batch.lane, committed=cursor))

    def _send(self, gateway: str, kind: Down, message: codec.Message) -> None:
        self._client.publish(format_topic(gateway, kind), codec.encode(message), qos=1)

    def report(self, first_ns: int, last_ns: int) -> dict[str, Any]:
        """Tell what was read in [first, last): good values per group, delays in ms of scans, live values and alarms.

        ``alarm_ns`` are pairs of when a value was read that raised or cleared an alarm and when that arrived;
        ``octets`` are those of all messages so far.
        """
        return {
            "good": {group: _good_between(scans, first_ns, last_ns) for group, scans in list(self.scans.items())},
            "durable_ms": [d for scans in list(self.scans.values()) for d in _delays_ms(scans, first_ns, last_ns)],
            "live_ms": _delays_ms(self.live, first_ns, last_ns),
            "alarm_ns": _pairs(self.alarms, first_ns, last_ns),
            "octets": self.octets,
        }


def _good_between(scans: Arrivals, first_ns: int, last_ns: int) -> int:
    return sum(good for read, good in zip(scans.read_ns, scans.good, strict=False) if first_ns <= read < last_ns)


def _pairs(arrivals: Arrivals, first_ns: int, last_ns: int) -> list[tuple[int, int]]:
    pairs = zip(arrivals.read_ns, arrivals.came_ns, strict=False)
    return [(read, came) for read, came in pairs if first_ns <= read < last_ns]


def _delays_ms(arrivals: Arrivals, first_ns: int, last_ns: int) -> list[float]:
    return [(came - read) / 1e6 for read, came in _pairs(arrivals, first_ns, last_ns)]


def main() -> None:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, clean_session=True)
    fleet = CountingFleet(client)
    ready: queue.SimpleQueue[None] = queue.SimpleQueue()
    client.on_message = fleet.take
    client.on_subscribe = lambda *_: ready.put(None)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.subscribe(up_filter(), qos=1)
    client.loop_start()
    ready.get(timeout=10)
    print("ready", flush=True)
    for line in sys.stdin:
        first_ns, last_ns = map(int, line.split())
        print(json.dumps(fleet.report(first_ns, last_ns)), flush=True)
    client.loop_stop()


if __name__ == "__main__":
    main()
