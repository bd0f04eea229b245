"""Any instrument that answers a request with a frame that a configuration declares: text by a pattern, or octets.

    > T?\\r\\n         < T=21.5\\r\\n

Frames are declared as for `drivers.frames`; the device or each tag names the request, all tags of a group the same one.
A reply does not say which request it answers. So when one stays out, the line is listened to until ``late_max_s`` after
that request before anything else is asked, and what comes meanwhile is thrown away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from drivers.base import Clock, Group, Scan
from drivers.errors import FrameError, LinkTimeoutError, SettingsError
from drivers.framing.layout import prepare, prepare_group
from drivers.framing.model import Field, Framed, Hex
from drivers.framing.reading import Layout, Reading
from drivers.transport import LineSettings, Transport, open_line

Request = Annotated[str, Meta(max_length=256, description=r'what is sent, as text: "T?\r\n"')]
RequestHex = Annotated[Hex, Meta(description='what is sent, in hexadecimal: "01 03"')]


class FramesPolledSettings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line, with as many instruments as their requests tell apart."""

    timeout_s: Annotated[float, Meta(gt=0, le=60, description="how long an answer may take")] = 1.0
    late_max_s: Annotated[
        Annotated[float, Meta(ge=0, le=60)] | None,
        Meta(description="how late an answer can come; two time-outs if left out"),
    ] = None


class Asked(Framed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An instrument: what its frames look like and what makes it send one."""

    request: Request = ""
    request_hex: RequestHex = ""


class AskedField(Field, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a tag lies in the answer, and the request for it where the device has several."""

    request: Request = ""
    request_hex: RequestHex = ""


class Question(msgspec.Struct, frozen=True):
    """A group ready to be asked for."""

    request: bytes
    layout: Layout
    reading: Reading


class Driver:
    """Sends a group's request and fills it from the first frame that carries any of its tags."""

    Settings: ClassVar[type[msgspec.Struct]] = FramesPolledSettings
    Device: ClassVar[type[msgspec.Struct]] = Asked
    Source: ClassVar[type[msgspec.Struct]] = AskedField

    def __init__(
        self,
        settings: FramesPolledSettings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._timeout_s = settings.timeout_s
        late_s = 2 * settings.timeout_s if settings.late_max_s is None else settings.late_max_s
        self._late_ns = int(late_s * 1e9)
        self._clock = clock
        self._questions = {group.name: _prepare(group) for group in groups}
        self._owed_until_ns = 0

    @staticmethod
    def make_line(settings: FramesPolledSettings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    async def open(self) -> None:
        """Open the line."""
        await self._line.open()

    async def close(self) -> None:
        """Close the line; a `read` that waits then ends with LinkError."""
        await self._line.close()

    async def read(self, group: Group) -> Scan:
        """Ask for a group. Raises LinkTimeoutError if nothing comes, FrameError if nothing valid does."""
        question = self._questions[group.name]
        await self._hear_out()
        self._line.discard()
        self._owed_until_ns = self._clock() + self._late_ns
        answer = Answer(question, self._clock)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._line.write(question.request)
                while (scan := answer.feed(await self._line.read())) is None:
                    pass
        except TimeoutError as error:
            raise answer.failure(group.device_name, self._timeout_s) from error
        self._owed_until_ns = 0
        return scan

    async def _hear_out(self) -> None:
        """Let a reply that stayed out come and go."""
        try:
            while (left_ns := self._owed_until_ns - self._clock()) > 0:
                async with asyncio.timeout(left_ns / 1e9):
                    await self._line.read()
        except TimeoutError:
            self._owed_until_ns = 0


class Answer:
    """What has come for one question."""

    def __init__(self, question: Question, clock: Clock) -> None:
        self._splitter = question.layout.make_splitter(clock)
        self._reading = question.reading
        self._octets = 0

    def feed(self, data: bytes) -> Scan | None:
        """Take octets; return the scan once they hold it."""
        self._octets += len(data)
        scans = (self._reading.scan(frame) for frame in self._splitter.feed(data))
        return next((scan for scan in scans if scan is not None), None)

    def failure(self, device: str, timeout_s: float) -> FrameError | LinkTimeoutError:
        """Tell why there is no scan after all that time."""
        if self._octets:
            return FrameError(f"{device} answered {self._octets} octets and no declared frame", hint="check the layout")
        hint = "check the request, the instrument's power, baud and parity"
        return LinkTimeoutError(f"{device} did not answer within {timeout_s:g} s", hint=hint)


def _prepare(group: Group) -> Question:
    if not isinstance(group.device, Asked):
        raise SettingsError(f"group {group.name}: not an instrument with declared frames")
    layout = prepare(group.device)
    return Question(_request(group, group.device), layout, prepare_group(group, layout))


def _request(group: Group, device: Asked) -> bytes:
    own = {_octets(source) for source in group.sources if isinstance(source, AskedField)}
    requests = {request or _octets(device) for request in own}
    if len(requests) > 1:
        raise SettingsError(f"group {group.name} has several requests", hint="one group for each request")
    if not requests or not (request := requests.pop()):
        raise SettingsError(f"group {group.name} has no request", hint='give the device request = "T?\\r\\n"')
    return request


def _octets(asked: Asked | AskedField) -> bytes:
    if asked.request and asked.request_hex:
        raise SettingsError("there are request and request_hex", hint="leave one out")
    try:
        return asked.request.encode("latin-1") or bytes.fromhex(asked.request_hex)
    except UnicodeEncodeError as error:
        raise SettingsError("a request is not in octets", hint="write it as request_hex") from error
