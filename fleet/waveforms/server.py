"""The SeedLink server: one address for the waveforms of all stations, versions 3 and 4.

`seismic.seedlink_server` decides what is said, `fleet.waveforms.feed` what is sent next; here are the connections. A
client reads at its own pace: nothing is read from the database for it before it has taken what came before. Whatever a
client does is bounded: its commands are answered one by one, its line and its silence are limited, and so are the
clients of one address and of all.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from fleet.bootstrap import Services
from fleet.errors import SetupError
from fleet.metrics import SeedLinkMetrics
from fleet.settings import split_address
from fleet.waveforms.door import Door, Visitor
from fleet.waveforms.feed import Feed, list_known, read_next
from fleet.waveforms.models import Waveform, WaveRun, WaveStream
from seismic import seedlink, seedlink_info, seedlink_server
from seismic.seedlink import UNAUTHORIZED, Hello
from seismic.seedlink_info import StationInfo, StreamInfo
from seismic.seedlink_server import Ask, Catalogue, Close, Say, Start

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_S = 0.2
"""Time between two looks for new packets, for all clients together."""
WAIT_S = 10.0
"""A client for whom nothing comes is looked at so often: the window that it asked for may be over."""
SPEAK_WITHIN_S = 60.0
"""A client that has not begun to stream is given so long between two commands."""
TAKE_WITHIN_S = 60.0
"""A client that takes nothing for so long is cut off; it resumes where it was."""
READ_OCTETS = 4096
WRITE_OCTETS = 64 * 1024
"""What waits in memory for a client at most, beside one look's packets."""
PER_ADDRESS_MOST = 20
CLOSE_WITHIN_S = 2.0


class Seen(msgspec.Struct, frozen=True):
    """What the last look found: the next number, the newest row of a stream, and the stations as ``NET_STA``."""

    next_seq: int
    newest: int
    stations: frozenset[str]


class Server:
    """The program. `run` until cancelled."""

    def __init__(self, services: Services, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._metrics = SeedLinkMetrics(self.registry)
        self._services = services
        self._door = Door(services)
        self._hello = Hello(f"fengsui/{version('fengsui')}", services.settings.organization)
        self._seen = Seen(0, 0, frozenset())
        self._moved = asyncio.Condition()
        self._database_up = True
        self._addresses: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_listening = asyncio.Event()

    def health(self) -> dict[str, object]:
        """Say how it is, for /healthz."""
        return {"ok": self._database_up, "database": self._database_up}

    async def run(self) -> None:
        """Serve. Raises SetupError if it cannot listen."""
        settings = self._services.settings
        await self._look()
        listening = []
        if settings.seedlink:
            listening.append(await self._listen(settings.seedlink, "seedlink", None))
        if settings.seedlink_tls:
            listening.append(await self._listen(settings.seedlink_tls, "seedlink_tls", self._load_certificate()))
        self.is_listening.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_looking(), name="look")
        finally:
            for server in listening:
                server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, address: str, setting: str, context: ssl.SSLContext | None) -> asyncio.Server:
        host, port = split_address(address, setting)
        greet = partial(self._greet, is_private=context is not None)
        try:
            return await asyncio.start_server(greet, host, port, limit=READ_OCTETS, ssl=context)
        except OSError as error:
            raise SetupError(
                f"cannot listen at {address}: {error.strerror}", hint=f"stop what uses it, or choose another {setting}"
            ) from error

    def _load_certificate(self) -> ssl.SSLContext:
        settings = self._services.settings
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate, key = (settings.data_dir / name for name in (settings.http_cert_file, settings.http_key_file))
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise SetupError(
                f"http_cert_file: {certificate} cannot be used: {error}",
                hint="run: fengsui-fleet ca server HOST --out NAME",
            ) from error
        return context

    # looking for new packets

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        """Look how far the numbers are, and wake who waits for them."""
        try:
            seen = await self._read(self._services.database.reading, partial(_look_up, known=self._seen.newest))
        except SQLAlchemyError as error:
            if self._database_up:
                log.error("the database does not answer, clients wait: %s", error)
            self._database_up = False
            return
        if not self._database_up:
            log.info("the database answers again")
        self._database_up = True
        before, self._seen = self._seen, msgspec.structs.replace(seen, stations=seen.stations or self._seen.stations)
        if seen.next_seq != before.next_seq:
            async with self._moved:
                self._moved.notify_all()

    @staticmethod
    async def _read(opened: Callable[[], object], work: Callable[[Session], T]) -> T:
        def read() -> T:
            with opened() as session:  # type: ignore[attr-defined]
                return work(session)

        return await asyncio.to_thread(read)

    # one connection

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_private: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        address = str((writer.get_extra_info("peername") or ("",))[0])
        visitor = Visitor(self._door, self._services, address)
        why = self._refuse(address, visitor, is_private)
        try:
            if why:
                self._metrics.ended.labels(why).inc()
                log.warning("SeedLink: %s is sent away: %s", address, why)
            else:
                await self._attend(address, Connection(self, reader, writer, visitor, is_private))
        except asyncio.CancelledError:
            log.debug("SeedLink: %s is cut off, the server ends", address)  # asyncio would tell it as a fault
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), CLOSE_WITHIN_S)

    def _refuse(self, address: str, visitor: Visitor, is_private: bool) -> str:
        """Say why a client is sent away at once, "" if it is not."""
        if not is_private and not visitor.may_read:
            return "network"
        most = self._services.settings.seedlink_connections
        if self._addresses.total() >= most or self._addresses[address] >= PER_ADDRESS_MOST:
            return "many"
        return ""

    async def _attend(self, address: str, connection: Connection) -> None:
        self._addresses[address] += 1
        self._metrics.clients.inc()
        try:
            await connection.serve()
        except TimeoutError:
            self._metrics.ended.labels("slow").inc()
            log.info("SeedLink: %s said or took nothing for too long", address)
        except (OSError, ssl.SSLError) as error:
            log.debug("SeedLink: %s is gone: %s", address, error)
        except SQLAlchemyError as error:
            log.error("SeedLink: %s is cut off, the database does not answer: %s", address, error)
        finally:
            self._metrics.clients.dec()
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    # what a connection asks

    def has_station(self, pattern: str) -> bool:
        """Tell whether a pattern fits any station."""
        return any(fnmatchcase(station, pattern) for station in self._seen.stations)

    @property
    def hello(self) -> Hello:
        """What the server says of itself."""
        return self._hello

    @property
    def next_seq(self) -> int:
        """The number that the next packet gets, as of the last look."""
        return self._seen.next_seq

    def now_ns(self) -> int:
        """UTC."""
        return self._services.clock()

    def count(self, packets: Sequence[bytes]) -> None:
        """Count what was sent."""
        self._metrics.packets.inc(len(packets))
        self._metrics.octets.inc(sum(map(len, packets)))

    def note_refusal(self) -> None:
        """Count a client that did not sign in."""
        self._metrics.ended.labels("sign-in").inc()

    async def wait(self, beyond: int) -> None:
        """Wait until there are numbers beyond one, or a while has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S), self._moved:
                await self._moved.wait_for(lambda: self._seen.next_seq > beyond)


def _look_up(session: Session, known: int) -> Seen:
    """Look how far the numbers are, and which stations there are if the newest stream is not the one known."""
    newest = session.scalar(sa.select(sa.func.max(WaveStream.id))) or 0
    stations = frozenset(one.station for one in list_known(session)) if newest != known else frozenset()
    return Seen(read_next(session), newest, stations)


class Connection:
    """One client's connection: what it says is answered in turn, while packets go to it in a task of their own."""

    def __init__(
        self,
        server: Server,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        visitor: Visitor,
        is_private: bool,
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._visitor = visitor
        self._is_private = is_private
        self._session = seedlink_server.Session(server.hello, server.has_station, visitor.admit, is_private=is_private)
        self._turn = asyncio.Lock()
        self._start: asyncio.Future[Start] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Serve until the client leaves or is sent away.

        Raises TimeoutError if it says or takes nothing for too long, OSError if the line breaks, SQLAlchemyError.
        """
        self._writer.transport.set_write_buffer_limits(WRITE_OCTETS)
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WRITE_OCTETS)
        streaming: asyncio.Task[None] | None = None
        listening = asyncio.create_task(self._listen())
        try:
            if (start := await self._started(listening)) is not None:
                streaming = asyncio.create_task(self._stream(start))
                await asyncio.wait({listening, streaming}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [task for task in (listening, streaming) if task is not None]
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _started(self, listening: asyncio.Task[None]) -> Start | None:
        """Wait until the client wants packets; None if it has left before."""
        waited: tuple[asyncio.Future[Any], ...] = (listening, self._start)
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        return self._start.result() if self._start.done() else None

    async def _listen(self) -> None:
        """Read commands and answer them, one after the other, until the client leaves."""
        while True:
            # Once packets flow, a client has nothing to say.
            within_s = None if self._session.is_streaming else SPEAK_WITHIN_S
            octets = await asyncio.wait_for(self._reader.read(READ_OCTETS), within_s)
            if not octets:
                return
            # A password takes a moment to check, and others are not to wait for it.
            feed = self._session.feed
            steps = await asyncio.to_thread(feed, octets) if self._is_private else feed(octets)
            for step in steps:
                if not await self._take(step):
                    return

    async def _take(self, step: seedlink_server.Step) -> bool:
        """Do what a command asks for. Returns whether the connection goes on."""
        match step:
            case Say():
                await self._send([step.octets])
            case Ask():
                await self._send([await self._answer(step)])
            case Catalogue():
                await self._send([seedlink_info.catalogue(await self._describe(with_streams=False))])
            case Start():
                if not self._visitor.may_read:
                    self._server.note_refusal()
                    await self._send([seedlink.format_error(UNAUTHORIZED, "sign in first, by AUTH")])
                    return False
                self._start.set_result(step)
            case Close():
                return False
        return True

    async def _answer(self, ask: Ask) -> bytes:
        stations = await self._describe(with_streams=ask.item == "STREAMS")
        return seedlink_info.answer(ask, self._server.hello, stations, self._server.now_ns())

    async def _describe(self, *, with_streams: bool) -> list[StationInfo]:
        return await self._server._read(self._visitor.reading, partial(describe, with_streams=with_streams))

    async def _stream(self, start: Start) -> None:
        """Send packets until all that was asked for has been sent."""
        server, visitor = self._server, self._visitor
        feed = await server._read(visitor.reading, partial(Feed, start=start))
        while True:
            while feed.is_behind(server.next_seq):
                reached = server.next_seq
                packets = await server._read(visitor.reading, partial(feed.read, next_seq=reached))
                await self._send(packets)
                server.count(packets)
            if feed.has_ended(server.now_ns()):
                await self._send([seedlink.END])
                return
            await server.wait(server.next_seq)

    async def _send(self, parts: Sequence[bytes]) -> None:
        """Send some octets whole, and wait until the client has taken what came before."""
        async with self._turn:
            for part in parts:
                self._writer.write(part)
                async with asyncio.timeout(TAKE_WITHIN_S):
                    await self._writer.drain()


def describe(session: Session, *, with_streams: bool) -> list[StationInfo]:
    """Return the stations that a session sees, by their name."""
    next_seq = read_next(session)
    first_seq = session.scalar(sa.select(sa.func.min(Waveform.seq))) or next_seq
    streams: dict[str, list[StreamInfo]] = {}
    for station, name, start_ns, end_ns in _list_streams(session) if with_streams else ():
        streams.setdefault(station, []).append(StreamInfo(name, start_ns, end_ns))
    stations = sorted({known.station for known in list_known(session)})
    return [StationInfo(name, name, first_seq, next_seq, tuple(streams.get(name, ()))) for name in stations]


def _list_streams(session: Session) -> list[tuple[str, str, int, int]]:
    """Return (station ``NET_STA``, stream, from when, to when)."""
    query = (
        sa.select(WaveStream.name, sa.func.min(WaveRun.start_ns), sa.func.max(WaveRun.end_ns))
        .join(WaveRun, WaveRun.stream_id == WaveStream.id)
        .group_by(WaveStream.name)
        .order_by(WaveStream.name)
    )
    return [(seedlink.ids(name)[0], name, start_ns, end_ns) for name, start_ns, end_ns in session.execute(query)]
