"""Message codec: one leading octet for the form, then msgpack; bounded before anything is believed.

Octet 0x00: plain msgpack. Octet 0x01: zstd (level 3) of msgpack. Other values are kept for later forms, and a reader
refuses them with VersionError. Fields are maps by name: unknown ones are ignored, missing ones take their default.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec
import zstandard

from wire.checklist import Checklist
from wire.command import Command
from wire.conversation import Ack, Batch, Greet, Hello, Refused, Welcome
from wire.errors import DecodeError, VersionError
from wire.health import Health
from wire.parts import Part
from wire.record import LANES, Lane
from wire.sample import Live
from wire.topics import Down, Up
from wire.twin import Desired, Reported
from wire.update import Progress, Target

Message = (
    Hello
    | Welcome
    | Batch
    | Ack
    | Refused
    | Greet
    | Live
    | Reported
    | Desired
    | Health
    | Part
    | Checklist
    | Command
    | Progress
    | Target
)
M = TypeVar("M")

KINDS: dict[Up | Down, type[Message]] = {
    Up.HELLO: Hello,
    Up.BATCH: Batch,
    Up.LIVE: Live,
    Up.REPORTED: Reported,
    Up.HEALTH: Health,
    Up.PART: Part,
    Up.CHECKLIST: Checklist,
    Up.PROGRESS: Progress,
    Down.WELCOME: Welcome,
    Down.ACK: Ack,
    Down.REFUSED: Refused,
    Down.GREET: Greet,
    Down.DESIRED: Desired,
    Down.COMMAND: Command,
    Down.TARGET: Target,
}
"""The message that each topic carries: the one table from which schemas, docs and dispatch are made."""

PLAIN, ZSTD = 0x00, 0x01
COMPRESS_FROM_BYTES = 256
MESSAGE_MAX_BYTES = 16 * 1024 * 1024
"""Largest message after decompression: a frame that claims more is refused before memory is taken."""

PEEK_BYTES = 256
"""A batch's header, up to its lane, is shorter than this."""
PEEK_WINDOW_BYTES = 4 * 1024 * 1024
"""Most memory that a peek takes: twice the window of the level that we compress with."""

_encoder = msgspec.msgpack.Encoder()
_LANES = {b"\xa4lane\xa1" + lane.encode(): lane for lane in LANES}
"""How a batch's lane looks in msgpack. No identity before it can look like that: its octets are printable."""


class _Zstd(threading.local):
    """Compressor and decompressor of a thread: to make one takes longer than to use it, and none may be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=3)
        self.decompressor = zstandard.ZstdDecompressor()
        self.peeker = zstandard.ZstdDecompressor(max_window_size=PEEK_WINDOW_BYTES)


_zstd = _Zstd()


def encode(message: Message) -> bytes:
    """Encode a message, compressed when that pays."""
    plain = _encoder.encode(message)
    if len(plain) < COMPRESS_FROM_BYTES:
        return bytes((PLAIN,)) + plain
    return bytes((ZSTD,)) + _zstd.compressor.compress(plain)


def decode(payload: bytes, kind: type[M]) -> M:
    """Decode a payload as ``kind``.

    Raises VersionError for an unknown form, DecodeError for anything else that is amiss.
    """
    if not payload:
        raise DecodeError("empty message")
    form, body = payload[0], payload[1:]
    if form == ZSTD:
        body = _decompress(body)
    elif form != PLAIN:
        raise VersionError(f"message form 0x{form:02x} is not known to this release")
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not a {kind.__name__}: {error}") from error


def peek_lane(payload: bytes) -> Lane | None:
    """Tell the lane of a batch from its first octets, None where they do not show it.

    This sorts messages that wait; whether a message can be read at all, only `decode` says.
    """
    head = payload[1 : 1 + PEEK_BYTES]
    if payload[:1] == bytes((ZSTD,)):
        try:
            with _zstd.peeker.stream_reader(payload[1:]) as reader:
                head = reader.read(PEEK_BYTES)
        except zstandard.ZstdError:
            return None
    return next((lane for mark, lane in _LANES.items() if mark in head), None)


def _decompress(body: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(body)
        if not 0 <= size <= MESSAGE_MAX_BYTES:
            raise DecodeError(f"compressed message claims {size} octets; the most is {MESSAGE_MAX_BYTES}")
        return _zstd.decompressor.decompress(body, max_output_size=MESSAGE_MAX_BYTES)
    except zstandard.ZstdError as error:
        raise DecodeError(f"message cannot be decompressed: {error}") from error
