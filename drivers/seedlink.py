"""SeedLink servers: digitisers of seismic stations and the servers that collect from them, versions 4 and 3.

The samples come in records of some seconds of one channel, with the times of the digitiser's own clock, which a scan
carries as its ``clock``. A scan of several channels is made when all have come that far. After a cut the server goes on
behind the last record that came, as long as it still has it; see `seismic.seedlink_client`. Source:
docs.fdsn.org/projects/seedlink.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from msgspec import Meta

from drivers import bits
from drivers.base import Clock, Group, Scan
from drivers.errors import LinkError, LinkTimeoutError, SettingsError
from drivers.timeline import Timeline
from drivers.transport import LineSettings, Transport, open_line
from seismic import miniseed, seedlink
from seismic.errors import SeismicError
from seismic.packet import Packet, TimeQuality, spell_ns
from seismic.sampleclock import NS
from seismic.seedlink_client import Session, Wanted
from wire.record import WaveFlag
from wire.sample import Quality, Value

HOLD_S = 30.0
"""How long the samples of one channel wait for those of another: a record of a slow one takes so long to fill."""

BACK_NS = 10 * NS
"""A channel that goes back further has had its clock set; less is a record that came twice or late."""

RATE_LEAST_HZ, RATE_MOST_HZ = 0.1, 1000.0
AGENT = "fengsui-edge"


class ServerSettings(LineSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server: tcp://host:18000, or tls://host:18500."""

    timeout_s: Annotated[float, Meta(gt=0, le=600, description="silence that counts as a failure")] = 60.0


class Station(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One station of the server; several may be on one line."""

    station: Annotated[str, Meta(pattern="^[A-Z0-9]{1,8}_[A-Z0-9]{1,8}$", description="network and station: CI_CCC")]


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One channel: value = counts * scale + offset. A group of several has them all at one rate.

    Scale is one over the sensitivity in the station's metadata (StationXML); 1 leaves counts.
    """

    channel: Annotated[str, Meta(pattern="^[A-Z0-9]{3}$", description="HNZ, HNN, HNE, HHZ, ...")]
    location: Annotated[str, Meta(pattern="^[A-Z0-9]{0,2}$", description="00, 10, ...; empty if it has none")] = ""
    scale: Annotated[float, Meta(description="factor")] = 1.0
    offset: Annotated[float, Meta(description="added after the factor")] = 0.0


class Place(NamedTuple):
    """Where a record stands: the how-manieth it is to us, and its sequence on the server."""

    order: int
    sequence: int


class _Sample(NamedTuple):
    at_ns: int
    raw: int
    record: Packet
    place: Place


class Assembly:
    """A group ready to be filled: puts the samples of its channels side by side by their times.

    ``faults`` counts records that came twice, too late or at another rate, and samples whose channel lacked one.
    """

    def __init__(self, group: Group, timeline: Timeline) -> None:
        sources = [source for source in group.sources if isinstance(source, Channel)]
        device = group.device
        if not sources or len(sources) != len(group.sources) or not isinstance(device, Station):
            raise SettingsError(f"group {group.name} has no channels", hint="channels are HNZ, HNN, HNE, ...")
        self.faults = 0
        self.station = device.station
        self.selectors = tuple(f"{source.location}_{'_'.join(source.channel)}" for source in sources)
        self._name = group.name
        self._names = [f"{self.station.replace('_', '.')}.{each.location}.{each.channel}" for each in sources]
        self._converts = [bits.converter(source.scale, source.offset) for source in sources]
        self._timeline = timeline
        self._queues: list[deque[_Sample]] = [deque() for _ in sources]
        self._dues_ns = [0] * len(sources)
        self._given_ns = 0
        self._rate_hz = 0.0
        self._last_ns = 0
        self._clock = TimeQuality()

    def take(self, record: Packet, place: Place, mono_ns: int) -> Iterator[Scan]:
        """Take a record of one channel, yield the scans that it completes."""
        columns = [at for at, name in enumerate(self._names) if name == record.stream]
        start_ns = record.start_ns
        if not columns or start_ns is None:
            return
        if not RATE_LEAST_HZ <= record.rate_hz <= RATE_MOST_HZ:
            self.faults += 1
            return
        end_ns = start_ns + spell_ns(len(record.counts), record.rate_hz)
        period_ns = spell_ns(1, record.rate_hz)
        due_ns = self._due_ns(columns[0], record)
        if self._given_ns:
            due_ns = max(due_ns, self._given_ns + period_ns)
        if end_ns - due_ns < period_ns // 2:
            self.faults += 1
            return
        self._timeline.place(end_ns - period_ns, mono_ns)
        for number, count in enumerate(record.counts):
            at_ns = start_ns + spell_ns(number, record.rate_hz)
            if at_ns < due_ns - period_ns // 2:
                continue
            for column in columns:
                self._queues[column].append(_Sample(at_ns, count, record, place))
        for column in columns:
            self._dues_ns[column] = end_ns
        yield from self._complete(period_ns, mono_ns)

    def waiting(self) -> Iterator[Place]:
        """Tell which records have samples that wait for those of other channels, the oldest of each channel."""
        return (queue[0].place for queue in self._queues if queue)

    def resume(self) -> None:
        """Forget what waits: the server sends it again."""
        for column, queue in enumerate(self._queues):
            queue.clear()
            if self._given_ns:
                self._dues_ns[column] = self._given_ns + spell_ns(1, self._rate_hz)

    def _due_ns(self, column: int, record: Packet) -> int:
        """Tell from when on samples are new; begin anew for another rate, or times that go far back."""
        due_ns, start_ns = self._dues_ns[column], record.start_ns or 0
        if record.rate_hz != self._rate_hz or due_ns - start_ns > BACK_NS:
            self.faults += self._rate_hz != 0
            self._restart(record.rate_hz)
            return start_ns
        self.faults += due_ns != 0 and start_ns - due_ns > spell_ns(0.5, record.rate_hz)
        return due_ns

    def _restart(self, rate_hz: float) -> None:
        """Forget what waits: it does not go with what comes."""
        self.faults += sum(map(len, self._queues))
        self._rate_hz = rate_hz
        self._given_ns = 0
        self._dues_ns = [0] * len(self._queues)
        for queue in self._queues:
            queue.clear()

    def _complete(self, period_ns: int, mono_ns: int) -> Iterator[Scan]:
        """Yield scans as long as all channels have a sample, or one has waited for too long."""
        hold_ns = HOLD_S * NS
        while any(self._queues):
            heads = [queue[0].at_ns for queue in self._queues if queue]
            newest_ns = max(queue[-1].at_ns for queue in self._queues if queue)
            if len(heads) < len(self._queues) and newest_ns - min(heads) <= hold_ns:
                return
            yield self._scan(min(heads), period_ns, mono_ns)

    def _scan(self, at_ns: int, period_ns: int, mono_ns: int) -> Scan:
        values: list[Value] = []
        quality: list[int] = []
        self._given_ns = at_ns
        for queue, convert in zip(self._queues, self._converts, strict=True):
            if queue and queue[0].at_ns - at_ns <= period_ns // 2:
                sample = queue.popleft()
                self._note(sample, mono_ns)
                value, judged = convert(sample.raw)
            else:
                value, judged = None, int(Quality.BAD_FRAME)
                self.faults += 1
            values.append(value)
            quality.append(judged)
        return Scan(self._name, self._last_ns, tuple(values), tuple(quality), self._clock)

    def _note(self, sample: _Sample, mono_ns: int) -> None:
        """Date the scan by a sample of it: never backwards, never later than now."""
        self._last_ns = min(max(self._last_ns + 1, self._timeline.show(sample.at_ns)), max(mono_ns, self._last_ns))
        offset_ns, record = sample.at_ns - self._last_ns, sample.record
        flags = record.flags & int(WaveFlag.TIME_QUESTIONABLE | WaveFlag.CLOCK_LOCKED)
        if (offset_ns, record.timing, flags) != (self._clock.offset_ns, self._clock.timing, self._clock.flags):
            self._clock = TimeQuality(offset_ns, record.timing, flags)


class Driver:
    """Yields a scan of each group for each sample of its channels."""

    Settings: ClassVar[type[msgspec.Struct]] = ServerSettings
    Device: ClassVar[type[msgspec.Struct]] = Station
    Source: ClassVar[type[msgspec.Struct]] = Channel

    def __init__(
        self,
        settings: ServerSettings,
        groups: Sequence[Group],
        clock: Clock = time.monotonic_ns,
        line: Transport | None = None,
    ) -> None:
        made = self.make_line(settings)
        self._line = made if line is None else line
        self._timeout_s = settings.timeout_s
        self._clock = clock
        self._groups = tuple(groups)
        self._sequences: dict[str, int] = {}
        self._garbled = self._faults_before = self._order = 0
        timelines = {group.device_name: Timeline() for group in self._groups}
        self._assemblies = [Assembly(group, timelines[group.device_name]) for group in self._groups]

    @staticmethod
    def make_line(settings: ServerSettings) -> Transport:
        """Make the line that the settings name."""
        return open_line(settings)

    @property
    def faults(self) -> int:
        """Garbled records, gaps, doubles, and samples that a channel of their group lacks, since `open`."""
        return self._faults() - self._faults_before

    def _faults(self) -> int:
        return self._garbled + sum(assembly.faults for assembly in self._assemblies)

    async def open(self) -> None:
        """Connect to the server, to go on behind the last record of which all samples were given out."""
        await self._line.open()
        self._faults_before = self._faults()
        for station in {assembly.station for assembly in self._assemblies}:
            places = [place for each in self._assemblies if each.station == station for place in each.waiting()]
            if places:
                self._sequences[station] = min(places).sequence - 1
        for assembly in self._assemblies:
            assembly.resume()

    async def close(self) -> None:
        """Close the connection; `scans` then ends with LinkError."""
        await self._line.close()

    async def scans(self) -> AsyncIterator[Scan]:
        """Yield scans until the line fails: LinkTimeoutError if no record comes for ``timeout_s``, else LinkError.

        A server that has not what is asked for is a LinkError too: it may have it later.
        """
        with closing(Session(self._wanted(), self._sequences, AGENT)) as session:
            await self._line.write(session.begin())
            async for packet, mono_ns in self._packets(session):
                self._sequences = session.sequences
                for scan in self._take(packet, mono_ns):
                    yield scan

    async def _packets(self, session: Session) -> AsyncIterator[tuple[seedlink.Carried, int]]:
        """Yield packets, each with when it came, and say what the session wants said."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        while True:
            octets = await self._read(deadline)
            mono_ns = self._clock()
            try:
                for each in session.feed(octets):
                    if isinstance(each, bytes):
                        await self._line.write(each)
                        continue
                    deadline = loop.time() + self._timeout_s
                    yield each, mono_ns
            except SeismicError as error:
                self._garbled += 1
                raise LinkError(str(error), hint=error.hint) from error

    async def _read(self, deadline: float) -> bytes:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._line.read()
        except TimeoutError as error:
            raise LinkTimeoutError(
                f"no record for {self._timeout_s:g} s", hint="does the server have this station's channels now?"
            ) from error

    def _wanted(self) -> list[Wanted]:
        stations: dict[str, dict[str, None]] = {}
        for assembly in self._assemblies:
            stations.setdefault(assembly.station, {}).update(dict.fromkeys(assembly.selectors))
        return [Wanted(station, tuple(selectors)) for station, selectors in stations.items()]

    def _take(self, packet: seedlink.Carried, mono_ns: int) -> Iterator[Scan]:
        if packet.format not in (seedlink.FORMAT_2, seedlink.FORMAT_3) or packet.subformat != seedlink.DATA:
            return
        try:
            records = miniseed.read(packet.payload)
        except SeismicError:
            self._garbled += 1
            return
        self._order += 1
        place = Place(self._order, packet.sequence or 0)
        for record in records:
            for assembly in self._assemblies:
                yield from assembly.take(record, place, mono_ns)
