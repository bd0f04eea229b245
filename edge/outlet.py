"""The one way out to the broker: what passes here is metered, counted, and on a thin link cut into parts.

Nobody else publishes. On a thin link everything but records of lane A waits for the PUBACK of the part before, so that
an alarm never finds more in front of it than the window of measurements and one part of anything else.
"""

from __future__ import annotations

import asyncio
import time
from itertools import count

import aiomqtt

from edge.conversation import Conversation
from edge.metering import Meter, Traffic, octets_of_answer, octets_of_message, octets_to_connect
from edge.supervise import heed_cancellation
from wire import codec
from wire.parts import CUT, cut
from wire.topics import Up, format_topic

PUBACK_MOST_S = 120.0
"""A broker that holds back a PUBACK this long is as good as gone: connect again."""
THIN_BYTES = 32 * 1024
"""A link whose window is smaller is thin: a message of any size would hold it up."""
PART_OF_WINDOW = 4
PART_LEAST_BYTES = 256
PART_OCTETS = 90
"""What a part has around its octets: its own fields, and the topic."""


class Outlet:
    """Use `attach` with each new connection."""

    def __init__(self, gateway: str, talk: Conversation, meter: Meter, *, is_tls: bool) -> None:
        self._gateway = gateway
        self._talk = talk
        self._is_tls = is_tls
        self._client: aiomqtt.Client | None = None
        self._numbers = count()
        self._cutting = {kind: asyncio.Lock() for kind in CUT}
        self.meter = meter
        self._joins_parts = False
        self.welcomed = asyncio.Event()
        """Set once the fleet has welcomed this connection: then it is known how large messages go."""

    def attach(self, client: aiomqtt.Client) -> None:
        """Send by this connection, and count what it cost to make it."""
        self._client = client
        self._joins_parts = False
        self.welcomed.clear()
        self.meter.take(octets_to_connect(is_tls=self._is_tls), Traffic.ALARMS, time.monotonic())

    def note_welcome(self, *, joins_parts: bool) -> None:
        """Take from a welcome whether the fleet puts parts together."""
        self._joins_parts = joins_parts
        self.welcomed.set()

    def note_answer(self) -> None:
        """Count what is sent to confirm a message, or to show that we are alive."""
        self.meter.take(octets_of_answer(is_tls=self._is_tls), Traffic.ALARMS, time.monotonic())

    @property
    def is_thin(self) -> bool:
        """Whether the link carries little, as far as is known."""
        return self._talk.window < THIN_BYTES

    @property
    def part_bytes(self) -> int:
        """Octets that may go at once beside the records in flight, on a thin link."""
        return max(PART_LEAST_BYTES, self._talk.window // PART_OF_WINDOW)

    def may_send(self, kind: Up, payload: bytes, traffic: Traffic) -> bool:
        """Tell whether the meter lets a message go now, and count it if so. Follow with `send`."""
        topic = format_topic(self._gateway, kind)
        octets = octets_of_message(len(payload), len(topic), is_tls=self._is_tls)
        return self.meter.take(octets, traffic, time.monotonic())

    async def send(self, kind: Up, payload: bytes, qos: int = 1) -> None:
        """Send a message that `may_send`; at QoS 1 until the broker has it."""
        assert self._client is not None
        await self._client.publish(format_topic(self._gateway, kind), payload, qos=qos, timeout=PUBACK_MOST_S)
        heed_cancellation()

    async def send_in_parts(self, kind: Up, payload: bytes, whole_bytes: int) -> None:
        """Send a message that `may_send`; where the link is thin and it is larger than ``whole_bytes``, in parts."""
        if not (self.is_thin and self._joins_parts and len(payload) > whole_bytes):
            await self.send(kind, payload)
            return
        async with self._cutting[kind]:  # the fleet puts together one message of a kind at a time
            for part in cut(kind, next(self._numbers), payload, self.part_bytes):
                around = octets_of_message(PART_OCTETS, 0, is_tls=self._is_tls)
                self.meter.take(around, Traffic.ALARMS, time.monotonic())
                await self.send(Up.PART, codec.encode(part))
