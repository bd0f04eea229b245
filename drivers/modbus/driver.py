"""The Modbus driver: one line, one request at a time, shared by the instruments on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from drivers.base import Clock, Group, Scan
from drivers.errors import DeviceError, FrameError, LinkTimeoutError, SettingsError
from drivers.modbus import identity, model
from drivers.modbus.decode import Decoder, Tag
from drivers.modbus.exchange import Exchange
from drivers.modbus.frame import Ascii, Framing, Mbap, Rtu
from drivers.modbus.model import Device, Source
from drivers.modbus.numbers import renumber_mbap
from drivers.modbus.place import Span
from drivers.modbus.plan import Limits, limits, otherwise, plan
from drivers.modbus.request import Request, identification, read_request
from drivers.modbus.write import Change, both_request, change, part_request, whole_request
from drivers.replay import Step
from drivers.transport import Transport, make_line
from wire.sample import Value

BROADCAST = 0
TCP_PORT, TLS_PORT = 502, 802

RTU_SILENT_CHARACTERS = 3.5
RTU_SILENCE_MIN_S, RTU_FAST_BAUD = 0.00175, 19_200
"""Silence between RTU frames: 3.5 characters, and this much above 19200 baud."""

LATE_TIMEOUTS = 2
"""How many time-outs a reply may be late where the settings do not say."""


class Block(msgspec.Struct, frozen=True):
    """One request of a group, and what lies in it: what may be read apart if it must be."""

    span: Span
    request: Request
    parts: tuple[Span, ...]
    limits: Limits


class Reading(msgspec.Struct, frozen=True):
    """A group, ready to be asked: its requests, and what makes a scan of their replies."""

    device: Device
    blocks: tuple[Block, ...]
    decode: Decoder


class Driver:
    """Reads scan groups with as few requests as their instruments allow; writes coils and holding registers."""

    Settings: ClassVar[type[msgspec.Struct]] = model.Settings
    Device: ClassVar[type[msgspec.Struct]] = model.Device
    Source: ClassVar[type[msgspec.Struct]] = model.Source

    def __init__(
        self,
        settings: model.Settings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        self._clock = clock
        made = self.make_line(settings)
        late_max_s = settings.late_max_s
        framing = _framing(settings.url)
        self._has_broadcast = not framing.resynchronises
        self._exchange = Exchange(
            made if line is None else line,
            framing,
            timeout_s=settings.timeout_s,
            late_max_s=LATE_TIMEOUTS * settings.timeout_s if late_max_s is None else late_max_s,
            silence_ns=_silence_ns(settings) if isinstance(framing, Rtu) else 0,
            clock=clock,
        )
        self._readings = {group.name: _prepare(group, self._has_broadcast) for group in groups}
        self._writing = asyncio.Lock()

    @staticmethod
    def make_line(settings: model.Settings) -> Transport:
        """Make the line that the settings name."""
        port = TLS_PORT if settings.url.startswith("tls:") else TCP_PORT
        tcp = ("tcp", "rtu+tcp", "ascii+tcp")
        return make_line(settings, tcp=tcp, tls=("tls",), serial_port=("rtu", "ascii"), port=port)

    @staticmethod
    def renumber(settings: model.Settings, steps: Sequence[Step]) -> Sequence[Step]:
        """Number the requests of Modbus TCP from 1, as after `open`, and their replies alike."""
        return renumber_mbap(steps) if isinstance(_framing(settings.url), Mbap) else steps

    async def open(self) -> None:
        """Open the line."""
        await self._exchange.open()

    async def close(self) -> None:
        """Close the line; a read or write that waits ends with LinkError."""
        await self._exchange.close()

    async def read(self, group: Group) -> Scan:
        """Read a group. A block that the instrument refuses makes its own tags bad; if it refuses all, DeviceError.

        The scan bears the time of its first reply: no value in it is older than its stamp says it can be.
        """
        reading = self._readings[group.name]
        replies: list[bytes | None] = []
        refusal: DeviceError | None = None
        mono_ns: int | None = None
        for block in reading.blocks:
            try:
                replies.append(await self._read(block, reading.device))
            except DeviceError as error:
                refusal = error
                replies.append(None)
                continue
            mono_ns = mono_ns or self._clock()
        if mono_ns is None:
            raise refusal or DeviceError(f"group {group.name} has no tags")
        values, quality = reading.decode(replies)
        return Scan(group.name, mono_ns, values, quality)

    async def _read(self, block: Block, device: model.Device) -> bytes:
        """Read the data octets of a block, by other requests while its own answer could not be told from a late one."""
        if not self._exchange.owes(block.request):
            return (await self._exchange.ask(block.request, device))[2:]
        pieces = otherwise(
            block.span, block.parts, block.limits, lambda span: not self._exchange.owes(read_request(device.unit, span))
        )
        data = bytearray()
        for piece in pieces or (block.span,):
            at = 2 * (piece.address - block.span.address)
            data[at:] = bytes(at - len(data)) + await self._read_piece(piece, block, device)
        return bytes(data[: block.request.size - 2])

    async def _read_piece(self, piece: Span, block: Block, device: model.Device) -> bytes:
        try:
            return (await self._exchange.ask(read_request(device.unit, piece), device))[2:]
        except DeviceError as error:
            if block.span.holds(piece):
                raise
            raise LinkTimeoutError(
                f"unit {device.unit} may still answer an earlier request, and can only be asked the same again",
                hint="it is asked again as soon as it cannot",
            ) from error

    async def write(self, group: Group, tag: str, value: Value) -> None:
        """Set a coil or holding register and read it back. Raises DeviceError if it does not hold what was set."""
        device, new = _change(group, tag, value)
        async with self._writing:
            held = await self._set(tag, device, new)
        if not new.is_held_by(held):
            raise DeviceError(
                f"{tag}: the instrument took {new.data.hex()} but holds {held.hex()}", hint="is it in local?"
            )

    async def _set(self, tag: str, device: model.Device, new: Change) -> bytes:
        """Send what is to be set; return what its registers hold then."""
        request = part_request(device, new) if new.is_part else None
        if request is None and new.is_part:
            if not device.read_modify_write:
                raise SettingsError(
                    f"{tag} cannot be written: it is a part of a register",
                    hint="set mask_write if the device knows function 22, or read_modify_write if nobody else sets it",
                )
            new = new.put_into(await self._read(_block(new.span, device), device))
        both = None if request else both_request(device, new)
        if both is not None and not self._exchange.owes(both):
            held = (await self._exchange.ask(both, device))[2:]
            if new.is_held_by(held):
                return held
            # Function 23 sets before it reads, but there are instruments that read first.
        else:
            await self._exchange.ask(request or whole_request(device, new), device)
        return await self._read(_block(new.span, device), device)

    def candidates(self) -> Sequence[model.Device]:
        """List the units worth asking."""
        return tuple(model.Device(unit=unit) for unit in identity.candidates(self._has_broadcast))

    async def identify(self, device: model.Device) -> dict[str, str] | None:
        """Ask a unit who it is (function 43, kind 14); empty if it only answers something, None if nothing."""
        found: dict[int, bytes] = {}
        try:
            if await self._objects(device, identity.BASIC, found):
                await self._objects(device, identity.REGULAR, found)
        except DeviceError:
            return identity.describe(found.items())
        except (LinkTimeoutError, FrameError):
            if not found and not await self._shows_life(device):
                return None
        return identity.describe(found.items())

    async def _objects(self, device: model.Device, code: int, found: dict[int, bytes]) -> bool:
        """Collect the objects of one category; return whether there are further categories."""
        first: int | None = 0
        has_more = False
        for _ in range(identity.PARTS_MOST):
            if first is None:
                break
            pdu = await self._exchange.ask(identification(device.unit, code, first), device)
            found |= identity.objects(pdu)
            has_more = identity.knows_regular(pdu)
            first = identity.following(pdu, first)
        return has_more

    async def _shows_life(self, device: model.Device) -> bool:
        for span in identity.SIGNS_OF_LIFE:
            try:
                await self._exchange.ask(read_request(device.unit, span), device)
            except DeviceError:
                return True
            except (LinkTimeoutError, FrameError):
                continue
            return True
        return False


def _framing(url: str) -> Framing:
    if url.startswith("rtu"):
        return Rtu()
    return Ascii() if url.startswith("ascii") else Mbap()


def _silence_ns(settings: model.Settings) -> int:
    is_fast = settings.baud > RTU_FAST_BAUD
    return int((RTU_SILENCE_MIN_S if is_fast else RTU_SILENT_CHARACTERS * settings.character_s) * 1e9)


def _prepare(group: Group, has_broadcast: bool) -> Reading:
    device = _device(group)
    if has_broadcast and device.unit == BROADCAST:
        raise SettingsError(f"{group.device_name}: unit 0 is a broadcast, which nobody answers", hint="use 1 to 247")
    tags = [_tag(name, source, device) for name, source in zip(group.tags, group.sources, strict=True)]
    spans = {span for tag in tags for span in tag.spans}
    most = limits(device)
    covers = plan(spans, most)
    blocks = (
        Block(cover, read_request(device.unit, cover), tuple(filter(cover.holds, spans)), most) for cover in covers
    )
    return Reading(device, tuple(blocks), Decoder(tags, covers))


def _block(span: Span, device: Device) -> Block:
    return Block(span, read_request(device.unit, span), (span,), limits(device))


def _device(group: Group) -> Device:
    if not isinstance(group.device, Device):
        raise SettingsError(f"{group.device_name}: not a Modbus device")
    return group.device


def _tag(name: str, source: msgspec.Struct, device: Device) -> Tag:
    if not isinstance(source, Source):
        raise SettingsError(f"{name}: not a Modbus source")
    return Tag(name, source, device)


def _change(group: Group, tag: str, value: Value) -> tuple[Device, Change]:
    if tag not in group.tags:
        raise SettingsError(f"group {group.name} has no tag {tag}", hint=f"it has: {', '.join(group.tags)}")
    device = _device(group)
    target = _tag(tag, group.sources[group.tags.index(tag)], device)
    try:
        return device, change(target, value)
    except SettingsError as error:
        raise SettingsError(f"{tag}: {error}", hint=error.hint) from error
