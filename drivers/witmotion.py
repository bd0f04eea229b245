"""WitMotion accelerometers on a serial line: binary frames, sent unasked, usually 100 a second.

    55 51 axL axH ayL ayH azL azH tL tH sum      acceleration, i16 / 32768 * 16 g; temperature, i16 / 100 degC
    55 52 wxL wxH wyL wyH wzL wzH .. .. sum      angular rate, i16 / 32768 * 2000 degrees a second
    55 53 rollL rollH pitch yaw ...  .. sum      angle, i16 / 32768 * 180 degrees
    55 5x ...                                     other contents, passed over

The sum is that of the ten octets before it, modulo 256.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
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
FRAME_OCTETS = 11
ACCELERATION, ANGULAR_RATE, ANGLE = 0x51, 0x52, 0x53
FULL_SCALE = 32768

CHANNELS: dict[str, tuple[int, int, float]] = {
    "ax": (ACCELERATION, 0, 16 / FULL_SCALE),
    "ay": (ACCELERATION, 1, 16 / FULL_SCALE),
    "az": (ACCELERATION, 2, 16 / FULL_SCALE),
    "temperature": (ACCELERATION, 3, 0.01),
    "temperature_raw": (ACCELERATION, 4, 1.0),
    "wx": (ANGULAR_RATE, 0, 2000 / FULL_SCALE),
    "wy": (ANGULAR_RATE, 1, 2000 / FULL_SCALE),
    "wz": (ANGULAR_RATE, 2, 2000 / FULL_SCALE),
    "roll": (ANGLE, 0, 180 / FULL_SCALE),
    "pitch": (ANGLE, 1, 180 / FULL_SCALE),
    "yaw": (ANGLE, 2, 180 / FULL_SCALE),
}
"""By channel: the frame that holds it, its word there (the fifth is the fourth without its sign), and its scale."""

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
    Angular rates are in degrees a second, angles in degrees; each of the three is a frame, and a group, of its own.
    """

    channel: Annotated[
        Literal["ax", "ay", "az", "temperature", "temperature_raw", "wx", "wy", "wz", "roll", "pitch", "yaw"],
        Meta(description="acceleration of an axis, temperature, angular rate, or angle"),
    ]
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0


class Splitter:
    """Finds frames in a stream of octets, whatever pieces it comes in. Pure.

    ``faults`` counts stretches of octets that belong to no valid frame. ``wanted`` are the frames that are returned.
    """

    def __init__(self, wanted: Collection[int] = (ACCELERATION,)) -> None:
        self.faults = 0
        self._wanted = frozenset(wanted)
        self._rest = b""
        self._is_lost = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take octets, return the wanted frames that they complete; other valid frames are passed over."""
        data = self._rest + data
        frames: list[bytes] = []
        at = 0
        while len(data) - at >= FRAME_OCTETS:
            frame = data[at : at + FRAME_OCTETS]
            if frame[0] == START and frame[1] in KINDS and bits.sum8(frame[:-1]) == frame[-1]:
                if frame[1] in self._wanted:
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
    """Yields a scan of each group for each frame that holds its channels."""

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
        self._readings = [_prepare(group) for group in groups]
        self._kinds = sorted({reading.kind for reading in self._readings})
        self._period_ns = _period_ns(groups)
        self._splitter = Splitter(self._kinds)
        self._last_ns = dict.fromkeys(self._kinds, 0)

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
        self._splitter = Splitter(self._kinds)

    async def close(self) -> None:
        """Close the line; `scans` then ends with LinkError."""
        await self._line.close()

    async def scans(self) -> AsyncIterator[Scan]:
        """Yield scans until the line fails: LinkTimeoutError if no frame comes for ``timeout_s``, else LinkError."""
        async for now_ns, frames in listen(
            self._line, self._splitter, self._timeout_s, self._clock, "check baud and the sensor's power"
        ):
            for mono_ns, frame in self._dated(frames, now_ns):
                words = (*_SIGNED.unpack_from(frame, 2), *_RAW.unpack_from(frame, 8))
                for reading in self._readings:
                    if reading.kind == frame[1]:
                        values, quality = zip(*(convert(words[word]) for word, convert in reading.takes), strict=True)
                        yield Scan(reading.group, mono_ns, values, quality)

    def _dated(self, frames: Sequence[bytes], now_ns: int) -> list[tuple[int, bytes]]:
        """Date frames that arrived together.

        Of each kind the last one is dated now, those before it a period apart, never backwards.
        """
        behind = Counter(frame[1] for frame in frames)
        dated = []
        for frame in frames:
            kind = frame[1]
            behind[kind] -= 1
            mono_ns = min(now_ns, max(now_ns - behind[kind] * self._period_ns, self._last_ns[kind] + 1))
            self._last_ns[kind] = mono_ns
            dated.append((mono_ns, frame))
        return dated


class Reading(msgspec.Struct, frozen=True):
    """A group ready to be filled from a frame of its kind."""

    group: str
    kind: int
    takes: tuple[tuple[int, bits.Convert], ...]


def _prepare(group: Group) -> Reading:
    if not group.sources:
        raise SettingsError(f"group {group.name} has no tags", hint=f"channels are: {', '.join(CHANNELS)}")
    kinds, takes = set(), []
    for tag, source in zip(group.tags, group.sources, strict=True):
        if not isinstance(source, Channel):
            raise SettingsError(f"{tag}: not a WitMotion source")
        kind, word, scale = CHANNELS[source.channel]
        kinds.add(kind)
        takes.append((word, bits.converter(scale * source.scale, source.offset)))
    if len(kinds) > 1:
        raise SettingsError(
            f"group {group.name} mixes accelerations, angular rates and angles",
            hint="one group for each: they come in frames of their own",
        )
    return Reading(group.name, kinds.pop(), tuple(takes))


def _period_ns(groups: Sequence[Group]) -> int:
    devices = {group.device_name: group.device for group in groups}
    if len(devices) > 1:
        raise SettingsError(f"one line carries one sensor, not {', '.join(devices)}", hint="give each its own bus")
    rates = [device.rate_hz for device in devices.values() if isinstance(device, Accelerometer)]
    return int(1e9 / rates[0]) if rates else 0
