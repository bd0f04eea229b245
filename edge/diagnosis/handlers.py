"""The commands of remote diagnosis. Each answers by one line, and sends a file in parts, behind all measurements.

Nothing here writes to an instrument, runs a program, or takes the name of a file.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from drivers.replay import parse_capture
from edge.acquisition import Acquisition
from edge.clock import SystemClock
from edge.diagnosis.bundle import describe_machine, pack, read_slots
from edge.diagnosis.capture import Capture, capture_line
from edge.diagnosis.capture_file import pack_capture
from edge.diagnosis.kept_log import read_log
from edge.diagnosis.reading import read_device
from edge.handlers import Handler, NoArguments
from edge.health import State
from edge.line import Line
from edge.operating import OperationError
from edge.store import Store
from wire.command import CAPTURE_MOST_S, Order
from wire.health import Health
from wire.record import FILE_PART_OCTETS, FILE_PARTS_MOST, FileRecord
from wire.twin import Reported

LOG_KIB = 256
CAPTURES_MOST = 4
"""Buses that are recorded at once, in memory."""
FILE_OCTETS_MOST = FILE_PART_OCTETS * FILE_PARTS_MOST


class LogArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of the log is wanted, the newest: KiB before they are compressed."""

    kib: Annotated[int, Meta(ge=1, le=LOG_KIB)] = LOG_KIB


class DeviceArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which device is read."""

    device: Annotated[str, Meta(min_length=1, max_length=200)]


class CaptureArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which bus is recorded, and for how long."""

    bus: Annotated[str, Meta(min_length=1, max_length=200)]
    seconds: Annotated[float, Meta(ge=1, le=CAPTURE_MOST_S)] = 10.0


class Gateway(Protocol):
    """What is asked of the agent."""

    def report(self) -> Reported:
        """Describe what runs."""

    def health(self) -> Health:
        """How it feels now."""

    def state(self) -> State:
        """What only the gateway itself shows."""


class Diagnosis:
    """Answers what the fleet asks of a gateway's insides. ``running`` is what acquires, None while nothing does."""

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        clock: SystemClock,
        data: Path,
        running: Callable[[], Acquisition | None],
    ) -> None:
        self._gateway = gateway
        self._store = store
        self._clock = clock
        self._data = data
        self._running = running
        self._captures = 0

    def handlers(self) -> Mapping[str, Handler]:
        """The table of these commands."""
        return {
            "logs": Handler(LogArguments, self.send_log),
            "support-bundle": Handler(NoArguments, self.send_bundle),
            "read-device": Handler(DeviceArguments, self.send_reading),
            "capture-bus": Handler(CaptureArguments, self.send_capture, is_long=True),
        }

    async def send_log(self, arguments: LogArguments, order: Order) -> str:
        """Send the newest lines of the log, gzip."""

        def read() -> bytes:
            return gzip.compress(read_log(self._data, arguments.kib * 1024), mtime=0)

        return self._send(order, await asyncio.to_thread(read))

    async def send_bundle(self, _: NoArguments, order: Order) -> str:
        """Send the support bundle, zip."""
        reported = msgspec.to_builtins(self._gateway.report())
        documents: dict[str, Any] = {
            "configuration": reported.pop("config"),
            "reported": reported,
            "health": msgspec.to_builtins(self._gateway.health()),
            "state": msgspec.to_builtins(self._gateway.state()),
        }

        def make() -> bytes:
            told = {**documents, "machine": describe_machine(self._clock), "slots": read_slots()}
            return pack(told, read_log(self._data, LOG_KIB * 1024))

        return self._send(order, await asyncio.to_thread(make))

    async def send_reading(self, arguments: DeviceArguments, order: Order) -> str:
        """Read a device and send what came, JSON."""
        running, device = self._running(), arguments.device
        line = running.find_line(device) if running else None
        if line is None:
            raise OperationError(f"there is no device '{device}' that is read", hint="name one of its configuration")
        found = await read_device(line, device)
        document = {"device": device, "bus": line.name, "tags": msgspec.to_builtins(found)}
        return self._send(order, msgspec.json.format(msgspec.json.encode(document), indent=1))

    async def send_capture(self, arguments: CaptureArguments, order: Order) -> str:
        """Record a bus while it is acquired and send what passed, zip."""
        line = self._find_bus(arguments.bus)
        if self._captures >= CAPTURES_MOST:
            raise OperationError(f"{CAPTURES_MOST} buses are being recorded already", hint="wait until they have ended")
        began_ns = self._clock.wall_at(self._clock.mono_ns())
        self._captures += 1
        try:
            capture, lasted_s = await capture_line(line, arguments.seconds)
        finally:
            self._captures -= 1

        def make() -> tuple[str, bytes]:
            told = _tell(capture, lasted_s)
            about = f"Bus {line.name} ({line.bus.kind.kind}) while it was acquired, {_format_time(began_ns)}: {told}"
            return told, pack_capture(line.bus, capture, about, FILE_OCTETS_MOST)

        told, content = await asyncio.to_thread(make)
        return f"bus {line.name}: {told}; {self._send(order, content)}"

    def _find_bus(self, name: str) -> Line:
        running = self._running()
        line = running.find_bus(name) if running else None
        if line is None:
            known = ", ".join(running.bus_names) if running else ""
            raise OperationError(f"there is no bus '{name}' that is acquired", hint=f"there are: {known or 'none'}")
        return line

    def _send(self, order: Order, content: bytes) -> str:
        if len(content) > FILE_OCTETS_MOST:
            raise ValueError(f"it has {len(content)} octets, more than the {FILE_OCTETS_MOST} that are sent")
        pieces = [content[at : at + FILE_PART_OCTETS] for at in range(0, len(content), FILE_PART_OCTETS)]
        mono = self._clock.mono_ns()
        wall = self._clock.wall_at(mono)
        self._store.put_file(
            [FileRecord(mono, wall, order.id, number, len(pieces), piece) for number, piece in enumerate(pieces, 1)]
        )
        return f"{len(content)} octets follow in {len(pieces)} parts"


def _tell(capture: Capture, lasted_s: float) -> str:
    """Say in one line what was recorded, and whether it ended before its time."""
    steps = parse_capture("".join(capture.text))
    sent = sum(len(step.data) for step in steps if step.sent)
    came = sum(len(step.data) for step in steps if not step.sent)
    early = f", ended early: {capture.why}" if capture.why else ""
    return f"{lasted_s:.0f} s, {sent} octets sent, {came} came{early}"


def _format_time(wall_ns: int | None) -> str:
    if wall_ns is None:
        return "at an unknown time"
    return f"from {datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
