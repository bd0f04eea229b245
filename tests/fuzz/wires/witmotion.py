"""WitMotion: 55 5x, eight octets and the sum of the ten."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, chunkwise, found, scaled
from wire.sample import Value

_CHANNELS = {
    "ax": (0x51, 0, 16 / 32768), "ay": (0x51, 1, 16 / 32768), "az": (0x51, 2, 16 / 32768),
    "temperature": (0x51, 3, 0.01), "temperature_raw": (0x51, 4, 1),
    "wx": (0x52, 0, 2000 / 32768), "wy": (0x52, 1, 2000 / 32768), "wz": (0x52, 2, 2000 / 32768),
    "roll": (0x53, 0, 180 / 32768), "pitch": (0x53, 1, 180 / 32768), "yaw": (0x53, 2, 180 / 32768),
}  # fmt: skip


def _frames(talk: Talk, _: GroupTable) -> Iterator[bytes]:
    for at in found(talk.heard, b"\x55"):
        frame = bytes(talk.heard[at : at + 11])
        if len(frame) == 11 and sum(frame[:10]) % 256 == frame[10]:
            yield frame


def _values(frame: bytes, _: GroupTable, tag: Tag) -> Iterator[Value]:
    kind, word, scale = _CHANNELS[tag["channel"]]
    words = (*struct.unpack("<4h", frame[2:10]), struct.unpack("<H", frame[8:10])[0])
    if frame[1] == kind:
        yield scaled(words[word] * scale, tag)


def _mend(data: bytes) -> bytes:
    frames = (data[at : at + 10] for at in range(0, len(data), 11))
    return b"".join(frame + bytes((sum(frame) % 256,)) for frame in frames)


WIRE = Wire(_frames, _values, chunkwise(_mend))
