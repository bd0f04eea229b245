"""WitMotion accelerometers on a serial line: binary frames, sent unasked, usually 100 a second.

    55 51 axL axH ayL ayH azL azH tL tH sum      acceleration, i16 / 32768 * 16 g; temperature, i16 / 100 degC
    55 5x ...                                     other contents, passed over

The sum is that of the ten octets before it, modulo 256.
"""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from drivers import bits
from drivers.base import Clock, Group, Scan
from drivers.errors import SettingsError
from drivers.stream import listen
from drivers.transport import Baud, LineSettings, Transport, open_line

START = 0x55
KINDS = frozenset(range(0x50, 0x60))
ACCELERATION = 0x51
FRAME_OCTETS = 11
FULL_SCALE_G = 16.0

CHANNELS = ("ax", "ay", "az", "temperature", "temperature_raw")
_WORDS = {"ax": 0, "ay": 1, "az": 2, "temperature": 3, "temperature_raw": 4}
_SCALES = {"ax": FULL_SCALE_G / 32768, "ay": FULL_SCALE_G / 32768, "az": FULL_SCALE_G / 32768, "temperature": 0.01}

_SIGNED, _RAW = struct.Struct("<4h"), struct.Struct("<H")


class WitmotionSettings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line with one sensor."""

    baud: Baud = 115_200
    timeout_s: Annotated[float, Meta(gt=0, le=60, description="silence that counts as a failure")] = 1.0


class Accelerometer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sensor."""

    rate_hz: Annotated[
        float, Meta(gt=0, le=1000, description="frames a second it is set to; spaces frames that arrive together")
    ] = 100.0


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which content of a frame: value = channel * scale + offset.

    Accelerations are in g: scale 9.80665 makes m/s2 of them, 980.665 gal. ``temperature`` is in degC;
    ``temperature_raw`` is its 16 bits as they came, 0 to 65535, for sensors that put something else there.
    """

    channel: Annotated[
        Literal["ax", "ay", "az", "temperature", "temperature_raw"],
        Meta(description="acceleration of an axis, or the temperature"),
    ]
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0


class Splitter:
    """Finds frames in a stream of octets, whatever pieces it comes in. Pure.

    ``faults`` counts stretches of octets that belong to no valid frame.
    """

    def __init__(self) -> None:
        self.faults = 0
        self._rest = b""
        self._is_lost = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take octets, return the acceleration frames that they complete; other valid frames are passed over."""
        data = self._rest + data
        frames: list[bytes] = []
        at = 0
        while len(data) - at >= FRAME_OCTETS:
            frame = data[at : at + FRAME_OCTETS]
            if frame[0] == START and frame[1] in KINDS and bits.sum8(frame[:-1]) == frame[-1]:
                if frame[1] == ACCELERATION:
                    frames.append(frame)
                at += FRAME_OCTETS
                self._is_lost = False
            else:
                at += 1
                self.faults += not self._is_lost
                self._is_lost = True
        self._rest = data[at:]
        return frames


class Driver:
    """Yields a scan of each group for each acceleration frame."""

    Settings: ClassVar[type[msgspec.Struct]] = WitmotionSettings
    Device: ClassVar[type[msgspec.Struct]] = Accelerometer
    Source: ClassVar[type[msgspec.Struct]] = Channel

    def __init__(
        self,
        settings: WitmotionSettings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._takes = [(group, _prepare(group)) for group in groups]
        self._period_ns = _period_ns(groups)
        self._splitter = Splitter()
        self._last_ns = 0

    @staticmethod
    def make_line(settings: WitmotionSettings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    @property
    def faults(self) -> int:
        """Stretches of garbled octets since `open`."""
        return self._splitter.faults

    async def open(self) -> None:
        """Open the line."""
        await self._line.open()
        self._splitter = Splitter()

    async def close(self) -> None:
        """Close the line; `scans` then ends with LinkError."""
        await self._line.close()

    async def scans(self) -> AsyncIterator[Scan]:
        """Yield scans until the line fails: LinkTimeoutError if no frame comes for ``timeout_s``, else LinkError."""
        async for now_ns, frames in listen(
            self._line, self._splitter, self._timeout_s, self._clock, "check baud and the sensor's power"
        ):
            for mono_ns, frame in zip(self._stamps(len(frames), now_ns), frames, strict=True):
                words = (*_SIGNED.unpack_from(frame, 2), *_RAW.unpack_from(frame, 8))
                for group, takes in self._takes:
                    values, quality = zip(*(convert(words[word]) for word, convert in takes), strict=True)
                    yield Scan(group.name, mono_ns, values, quality)

    def _stamps(self, count: int, now: int) -> list[int]:
        """Date frames that arrived together: the last one now, those before it a period apart, never backwards."""
        stamps = []
        for behind in range(count - 1, -1, -1):
            self._last_ns = min(now, max(now - behind * self._period_ns, self._last_ns + 1))
            stamps.append(self._last_ns)
        return stamps


def _prepare(group: Group) -> tuple[tuple[int, bits.Convert], ...]:
    if not group.sources:
        raise SettingsError(f"group {group.name} has no tags", hint=f"channels are: {', '.join(CHANNELS)}")
    takes = []
    for tag, source in zip(group.tags, group.sources, strict=True):
        if not isinstance(source, Channel):
            raise SettingsError(f"{tag}: not a WitMotion source")
        scale = _SCALES.get(source.channel, 1.0) * source.scale
        takes.append((_WORDS[source.channel], bits.converter(scale, source.offset)))
    return tuple(takes)


def _period_ns(groups: Sequence[Group]) -> int:
    devices = {group.device_name: group.device for group in groups}
    if len(devices) > 1:
        raise SettingsError(f"one line carries one sensor, not {', '.join(devices)}", hint="give each its own bus")
    rates = [device.rate_hz for device in devices.values() if isinstance(device, Accelerometer)]
    return int(1e9 / rates[0]) if rates else 0
