"""Any instrument that speaks by itself in frames that a configuration declares: text by a pattern, octets by a layout.

    [device.text]      terminator, pattern, checksum               T=21.5,H=48.0*2A\\r\\n
    [device.binary]    header, length, tail, checksum               55 51 ... sum

A group yields a scan for each frame that carries any of its tags, so a group names tags of one kind of frame. Without a
checksum a digit that was garbled cannot be told from a right one: then ranges and steps of the tags are all there is.
The same frames on request are `drivers.frames_polled`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from drivers.base import Clock, Group, Scan
from drivers.errors import SettingsError
from drivers.framing.layout import prepare, prepare_group
from drivers.framing.model import Field, Framed
from drivers.framing.reading import Layout
from drivers.stream import listen
from drivers.transport import LineSettings, Transport, open_line


class FramesSettings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line with one instrument."""

    timeout_s: Annotated[
        float, Meta(gt=0, le=3600, description="silence, or garbled frames only, that counts as a failure")
    ] = 10.0


class Driver:
    """Yields a scan of each group for each frame that carries any of its tags."""

    Settings: ClassVar[type[msgspec.Struct]] = FramesSettings
    Device: ClassVar[type[msgspec.Struct]] = Framed
    Source: ClassVar[type[msgspec.Struct]] = Field

    def __init__(
        self,
        settings: FramesSettings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._layout = _layout(groups)
        self._readings = [prepare_group(group, self._layout) for group in groups]
        self._splitter = self._layout.make_splitter(clock)

    @staticmethod
    def make_line(settings: FramesSettings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    @property
    def faults(self) -> int:
        """Garbled lines, or stretches of garbled octets, since `open`."""
        return self._splitter.faults

    async def open(self) -> None:
        """Open the line."""
        await self._line.open()
        self._splitter = self._layout.make_splitter(self._clock)

    async def close(self) -> None:
        """Close the line; `scans` then ends with LinkError."""
        await self._line.close()

    async def scans(self) -> AsyncIterator[Scan]:
        """Yield scans until the line fails: LinkTimeoutError if no frame comes for ``timeout_s``, else LinkError."""
        hint = "check baud, the instrument's power, and that its frames are as declared"
        async for _, frames in listen(self._line, self._splitter, self._timeout_s, self._clock, hint):
            for frame in frames:
                for reading in self._readings:
                    scan = reading.scan(frame)
                    if scan is not None:
                        yield scan


def _layout(groups: Sequence[Group]) -> Layout:
    devices = {group.device_name: group.device for group in groups}
    if len(devices) != 1:
        raise SettingsError(f"one line carries one instrument, not {len(devices)}", hint="give each its own bus")
    (device,) = devices.values()
    if not isinstance(device, Framed):
        raise SettingsError("not an instrument with declared frames")
    return prepare(device)
