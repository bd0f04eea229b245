"""The server's side of one SeedLink connection, versions 3 and 4: octets in, steps out. Pure.

    session = Session(hello, has_station)
    for step in session.feed(octets): Say -> send it; Ask -> send `seismic.seedlink_info`'s answer; Start -> stream; ...

It says nothing before the client does. A client speaks version 3 until it says SLPROTO 4.0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from seismic import seedlink
from seismic.errors import SeismicError
from seismic.seedlink import ARGUMENTS, AUTH, LIMIT, OK, UNEXPECTED, UNSUPPORTED, Command, Hello, Selector

STATIONS_MOST, SELECTORS_MOST = 1000, 100
ALL_SELECTORS_MOST = 5000
"""Of all stations together: what one connection takes of memory is a megabyte or two."""
FAILURES_MOST = 5
"""Wrong passwords on one connection, before it is closed."""

ITEMS_4 = ("ID", "CAPABILITIES", "FORMATS", "STATIONS", "STREAMS", "CONNECTIONS")
ITEMS_3 = ("ID", "CAPABILITIES", "STATIONS", "STREAMS")


class Wanted(msgspec.Struct, frozen=True):
    """What a client wants of the stations that match the pattern ``station`` (``NET_STA``, ``*`` and ``?``).

    ``sequence`` is the first packet wanted: None is the next one that comes, 0 the oldest there is; in version 3 it has
    24 bits (`seismic.seedlink.widen`). Packets that end at or before ``start_ns``, or start at or after ``end_ns``, are
    left out. A station belongs to the first of a `Start` that matches it.
    """

    station: str
    selectors: tuple[Selector, ...] = ()
    sequence: int | None = None
    start_ns: int | None = None
    end_ns: int | None = None


class Say(msgspec.Struct, frozen=True):
    """Send these octets."""

    octets: bytes


class Ask(msgspec.Struct, frozen=True):
    """Answer INFO ``item`` (in capitals) in the form of ``version``, of the stations and streams that match."""

    version: int
    item: str
    station: str = "*"
    stream: Selector = Selector("*")


class Catalogue(msgspec.Struct, frozen=True):
    """Answer CAT of version 3: `seismic.seedlink_info.catalogue`."""


class Start(msgspec.Struct, frozen=True):
    """Stream from now on, in the form of ``version``. With ``is_fetch`` send `seismic.seedlink.END` behind the last."""

    version: int
    wanted: tuple[Wanted, ...]
    is_fetch: bool = False


class Close(msgspec.Struct, frozen=True):
    """Close the connection."""


Step = Say | Ask | Catalogue | Start | Close


class _RefusalError(Exception):
    """A command that is answered with an error."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Session:
    """What one client has said so far.

    ``has_station`` tells whether any station matches a pattern ``NET_STA``: version 3 is refused others, version 4 may
    wait for stations to come. ``admit`` judges what follows AUTH; None: nobody is asked who they are. ``is_private``
    says that the line is encrypted, without which no password is taken.
    """

    def __init__(
        self,
        hello: Hello,
        has_station: Callable[[str], bool],
        admit: Callable[[str, Sequence[str]], bool] | None = None,
        *,
        is_private: bool = False,
    ) -> None:
        self._hello = hello
        self._has_station = has_station
        self._admit = admit
        self._is_private = is_private
        self._lines = seedlink.Lines()
        self._wanted: list[Wanted] = []
        self._is_refused = False
        self._is_batch = False
        self._is_fetch = False
        self._failures = 0
        self._selected = 0
        self.version = 3
        self.agent = ""
        self.is_streaming = False

    def feed(self, octets: bytes) -> list[Step]:
        """Take octets of the client, return what they ask for, in this order."""
        try:
            lines = self._lines.feed(octets)
        except SeismicError as error:
            return [Say(self._error(LIMIT, str(error))), Close()]
        steps: list[Step] = []
        for line in lines:
            steps += self._take(line)
            if steps and isinstance(steps[-1], Close):
                break
        return steps

    def _take(self, line: bytes) -> list[Step]:
        try:
            command = seedlink.parse_command(line)
            handler = self._handler(command.word)
            return handler(self, command)
        except _RefusalError as refusal:
            return self._refuse(refusal)
        except SeismicError as error:
            return self._refuse(_RefusalError(ARGUMENTS, str(error)))

    def _refuse(self, refusal: _RefusalError) -> list[Step]:
        steps: list[Step] = [Say(self._error(refusal.code, str(refusal)))]
        if self._failures >= FAILURES_MOST:
            steps.append(Close())
        return steps

    def _handler(self, word: str) -> Callable[[Session, Command], list[Step]]:
        handler = _ALWAYS.get(word)
        if handler is not None:
            return handler
        if self.is_streaming:
            raise _RefusalError(UNEXPECTED, f"{word} while packets are sent")
        handler = (_HANDSHAKE_4 if self.version == 4 else _HANDSHAKE_3).get(word)
        if handler is None:
            raise _RefusalError(UNSUPPORTED, f"{word} is not known")
        return handler

    def _error(self, code: str, text: str) -> bytes:
        return seedlink.format_error(code, text) if self.version == 4 else b"ERROR\r\n"

    def _ok(self) -> list[Step]:
        return [] if self._is_batch else [Say(OK)]

    def _greet(self, _command: Command) -> list[Step]:
        return [Say(seedlink.format_hello(self._hello))]

    def _close(self, _command: Command) -> list[Step]:
        return [Close()]

    def _info(self, command: Command) -> list[Step]:
        item, station, stream = (*command.arguments, *("ID", "*", "*")[len(command.arguments) :])[:3]
        return [Ask(self.version, item.upper(), station, seedlink.parse_selector(stream))]

    def _protocol(self, command: Command) -> list[Step]:
        if self._wanted:
            raise _RefusalError(UNEXPECTED, "SLPROTO comes before STATION")
        if command.arguments[:1] not in [(version,) for version in (*self._hello.versions, "3.0")]:
            raise _RefusalError(ARGUMENTS, f"SLPROTO takes one of {' '.join(self._hello.versions)}")
        self.version = int(command.arguments[0][0])
        return [Say(OK)]

    def _user_agent(self, command: Command) -> list[Step]:
        self.agent = " ".join(command.arguments)
        return [Say(OK)]

    def _authenticate(self, command: Command) -> list[Step]:
        if self._admit is None:
            raise _RefusalError(UNSUPPORTED, "AUTH is not known")
        if not self._is_private:
            raise _RefusalError(UNEXPECTED, "AUTH goes over TLS only")
        if len(command.arguments) < 2:
            raise _RefusalError(ARGUMENTS, "AUTH takes USERPASS and a name and a password, or JWT and a token")
        if not self._admit(command.arguments[0].upper(), command.arguments[1:]):
            self._failures += 1
            raise _RefusalError(AUTH, "not admitted")
        return [Say(OK)]

    def _batch(self, _command: Command) -> list[Step]:
        self._is_batch = True
        return [Say(OK)]

    def _capabilities(self, _command: Command) -> list[Step]:
        return [Say(OK)]

    def _catalogue(self, _command: Command) -> list[Step]:
        return [Catalogue()]

    def _station_4(self, command: Command) -> list[Step]:
        if len(command.arguments) != 1:
            raise _RefusalError(ARGUMENTS, "STATION takes one NET_STA")
        return self._add_station(command.arguments[0])

    def _station_3(self, command: Command) -> list[Step]:
        station, network = (*command.arguments, "*", "*")[:2]
        self._is_refused = not command.arguments or not self._has_station(f"{network}_{station}")
        if self._is_refused:
            raise _RefusalError(ARGUMENTS, "no such station")
        return self._add_station(f"{network}_{station}")

    def _add_station(self, pattern: str) -> list[Step]:
        if len(self._wanted) >= STATIONS_MOST:
            raise _RefusalError(LIMIT, f"more than {STATIONS_MOST} stations")
        self._wanted.append(Wanted(pattern))
        return self._ok()

    def _select_4(self, command: Command) -> list[Step]:
        if not command.arguments:
            raise _RefusalError(ARGUMENTS, "SELECT takes a pattern")
        return self._select(tuple(seedlink.parse_selector(text) for text in command.arguments))

    def _select_3(self, command: Command) -> list[Step]:
        selectors = tuple(seedlink.parse_selector_3(text) for text in command.arguments)
        if not selectors and self._wanted:
            self._change(selectors=())
        return self._select(selectors)

    def _select(self, selectors: tuple[Selector, ...]) -> list[Step]:
        current = self._current()
        if len(current.selectors) + len(selectors) > SELECTORS_MOST:
            raise _RefusalError(LIMIT, f"more than {SELECTORS_MOST} selectors")
        self._selected += len(selectors)
        if self._selected > ALL_SELECTORS_MOST:
            raise _RefusalError(LIMIT, f"more than {ALL_SELECTORS_MOST} selectors of all stations")
        self._change(selectors=current.selectors + selectors)
        return self._ok()

    def _data_4(self, command: Command) -> list[Step]:
        if len(command.arguments) > 3:
            raise _RefusalError(ARGUMENTS, "DATA takes a sequence or ALL, a start and an end")
        self._current()
        sequence, *times = command.arguments or ("-1",)
        self._change(sequence=_sequence_4(sequence), **_window(times))
        return self._ok()

    def _data_3(self, command: Command) -> list[Step]:
        self._current()
        self._is_fetch |= command.word == "FETCH"
        sequence, *times = command.arguments or ("-1",)
        self._change(sequence=_sequence_3(sequence), **_window(times[:2]))
        return self._start() if self._is_uni() else self._ok()

    def _time_3(self, command: Command) -> list[Step]:
        self._current()
        self._change(sequence=0, **_window(command.arguments[:2]))
        return self._start() if self._is_uni() else self._ok()

    def _end(self, command: Command) -> list[Step]:
        if not self._wanted:
            raise _RefusalError(UNEXPECTED, f"{command.word} without STATION")
        self._is_fetch |= command.word == "ENDFETCH"
        return self._start()

    def _start(self) -> list[Step]:
        self.is_streaming = True
        return [Start(self.version, tuple(self._wanted), self._is_fetch)]

    def _is_uni(self) -> bool:
        return self._wanted[-1].station == UNI

    def _current(self) -> Wanted:
        """Return what the commands up to the next STATION belong to; version 3 may name none and mean them all."""
        if self._is_refused:
            raise _RefusalError(UNEXPECTED, "the station was refused")
        if not self._wanted:
            if self.version == 4:
                raise _RefusalError(UNEXPECTED, "STATION comes first")
            self._wanted.append(Wanted(UNI))
        return self._wanted[-1]

    def _change(self, **changes: object) -> None:
        self._wanted[-1] = msgspec.structs.replace(self._wanted[-1], **changes)


UNI = "*"
"""What version 3 means without a STATION, in «uni-station mode»: the one station of the server, or all of them."""


def _window(times: Sequence[str]) -> dict[str, int | None]:
    start_ns, end_ns = (*(seedlink.parse_time(text) for text in times), None, None)[:2]
    return {"start_ns": start_ns, "end_ns": end_ns}


def _sequence_4(text: str) -> int | None:
    if text == "-1":
        return None
    if text.upper() == "ALL":
        return 0
    if not text.isdecimal() or int(text) > seedlink.SEQUENCE_MOST:
        raise _RefusalError(ARGUMENTS, f"'{text}' is no sequence")
    return int(text)


def _sequence_3(text: str) -> int | None:
    if text == "-1":
        return None
    try:
        return int(text, 16) & seedlink.SEQUENCE_3_MOST
    except ValueError as error:
        raise _RefusalError(ARGUMENTS, f"'{text}' is no sequence") from error


_ALWAYS: dict[str, Callable[[Session, Command], list[Step]]] = {
    "INFO": Session._info,
    "BYE": Session._close,
}
_BOTH: dict[str, Callable[[Session, Command], list[Step]]] = {
    "HELLO": Session._greet,
    "SLPROTO": Session._protocol,
    "END": Session._end,
    "USERAGENT": Session._user_agent,
    "AUTH": Session._authenticate,
}
_HANDSHAKE_4 = _BOTH | {
    "STATION": Session._station_4,
    "SELECT": Session._select_4,
    "DATA": Session._data_4,
    "ENDFETCH": Session._end,
}
_HANDSHAKE_3 = _BOTH | {
    "STATION": Session._station_3,
    "SELECT": Session._select_3,
    "DATA": Session._data_3,
    "FETCH": Session._data_3,
    "TIME": Session._time_3,
    "BATCH": Session._batch,
    "CAPABILITIES": Session._capabilities,
    "CAT": Session._catalogue,
}
