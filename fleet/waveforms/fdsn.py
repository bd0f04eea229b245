"""The questions of FDSN web services (FDSN Web Services 1.2), read and checked. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

import msgspec

from fleet.errors import InvalidError

ALIASES = {
    "net": "network", "sta": "station", "loc": "location", "cha": "channel", "start": "starttime", "end": "endtime",
    "minlat": "minlatitude", "maxlat": "maxlatitude", "minlon": "minlongitude", "maxlon": "maxlongitude",
}  # fmt: skip
CODES = ("network", "station", "location", "channel")
WINDOW = ("starttime", "endtime")
BOX = ("minlatitude", "maxlatitude", "minlongitude", "maxlongitude")
LEVELS = ("network", "station", "channel", "response")
SELECTIONS_MOST = 1000
BLANK = "--"
"""How an empty location is written."""
_PATTERN = re.compile(r"[A-Za-z0-9*?-]{0,8}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Selection(msgspec.Struct, frozen=True):
    """Which streams, by patterns of their codes, from when to when (UTC in ns; None for as far as there is any)."""

    network: tuple[str, ...] = ("*",)
    station: tuple[str, ...] = ("*",)
    location: tuple[str, ...] = ("*",)
    channel: tuple[str, ...] = ("*",)
    start_ns: int | None = None
    end_ns: int | None = None

    def matches(self, network: str, station: str, location: str | None = None, channel: str | None = None) -> bool:
        """Tell whether codes are wanted; None is not asked for."""
        pairs = ((self.network, network), (self.station, station), (self.location, location), (self.channel, channel))
        return all(code is None or any(fnmatchcase(code, pattern) for pattern in patterns) for patterns, code in pairs)


class StationQuery(msgspec.Struct, frozen=True):
    """What is asked of the station service. ``box`` is south, north, west, east in degrees."""

    selections: tuple[Selection, ...]
    level: str = "station"
    is_text: bool = False
    box: tuple[float, float, float, float] = (-90.0, 90.0, -180.0, 180.0)
    nodata: int = 204


class DataQuery(msgspec.Struct, frozen=True):
    """What is asked of dataselect. ``version`` is that of miniSEED."""

    selections: tuple[Selection, ...]
    version: int = 2
    nodata: int = 204


Given = Mapping[str, str]
VERSIONS = {"miniseed": 2, "miniseed2": 2, "miniseed3": 3}
DATA_WORDS = (*CODES, *WINDOW, "format", "nodata", "quality")
STATION_WORDS = (
    *CODES, *WINDOW, *BOX, "format", "nodata", "level", "includerestricted", "includeavailability", "matchtimeseries",
)  # fmt: skip


def read_data_query(given: Given, lines: Sequence[str] = ()) -> DataQuery:
    """Read a question for waveforms. Raises InvalidError, also where no time is given."""
    words = _name(given, DATA_WORDS)
    selections = _read_selections(words, lines)
    if any(one.start_ns is None or one.end_ns is None for one in selections):
        raise InvalidError("starttime and endtime are needed", hint="starttime=2026-01-01T00:00:00")
    form = words.get("format", "miniseed").lower()
    if form not in VERSIONS:
        raise InvalidError(f"format '{form}' is not known", hint=", ".join(VERSIONS))
    return DataQuery(selections, VERSIONS[form], _read_nodata(words))


def read_station_query(given: Given, lines: Sequence[str] = ()) -> StationQuery:
    """Read a question for stations. Raises InvalidError."""
    words = _name(given, STATION_WORDS)
    level, form = words.get("level", "station").lower(), words.get("format", "xml").lower()
    if level not in LEVELS or form not in ("xml", "text") or (form == "text" and level == "response"):
        raise InvalidError(f"there is no level '{level}' as {form}", hint=f"levels are {', '.join(LEVELS)}")
    ends = (-90.0, 90.0, -180.0, 180.0)
    south, north, west, east = (_read_degrees(words, name, end) for name, end in zip(BOX, ends, strict=True))
    return StationQuery(
        _read_selections(words, lines), level, form == "text", (south, north, west, east), _read_nodata(words)
    )


def split_post(text: str) -> tuple[dict[str, str], list[str]]:
    """Split the body of a POST: ``key=value`` lines, then lines ``NET STA LOC CHA START END``."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    given = [line for line in lines if "=" in line]
    pairs = (line.partition("=") for line in given)
    return {key.strip(): value.strip() for key, _, value in pairs}, [line for line in lines if "=" not in line]


def _name(given: Given, known: Sequence[str]) -> dict[str, str]:
    words = {ALIASES.get(key.lower(), key.lower()): value for key, value in given.items()}
    if unknown := sorted(words.keys() - set(known)):
        raise InvalidError(f"'{unknown[0]}' is not known here", hint=f"there are {', '.join(known)}")
    return words


def _read_selections(words: Given, lines: Sequence[str]) -> tuple[Selection, ...]:
    if len(lines) > SELECTIONS_MOST:
        raise InvalidError(f"more than {SELECTIONS_MOST} lines", hint="ask in parts")
    if not lines:
        return (_read_selection([words.get(code, "*") for code in CODES], [words.get(name, "") for name in WINDOW]),)
    selections = []
    for line in lines:
        fields = line.split()
        if len(fields) != len(CODES) + len(WINDOW):
            raise InvalidError(f"'{line[:60]}' is not NET STA LOC CHA START END")
        selections.append(_read_selection(fields[:4], fields[4:]))
    return tuple(selections)


def _read_selection(codes: Sequence[str], times: Sequence[str]) -> Selection:
    patterns = [tuple(_read_code(part) for part in (code or "*").split(",")) for code in codes]
    start_ns, end_ns = (None if text in ("", "*") else read_time(text) for text in times)
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise InvalidError("starttime must lie before endtime")
    network, station, location, channel = patterns
    return Selection(network, station, location, channel, start_ns, end_ns)


def _read_code(text: str) -> str:
    if not _PATTERN.fullmatch(text):
        raise InvalidError(f"'{text[:20]}' is no code of a stream", hint="letters, digits, * and ?, commas between")
    return "" if text in (BLANK, "-") else text.upper()


def read_time(text: str) -> int:
    """Read ISO 8601 in UTC, in ns. Raises InvalidError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidError(f"'{text[:40]}' is no time", hint="2026-01-31T12:00:00.000") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def write_time(at_ns: int) -> str:
    """Write UTC as ISO 8601, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _read_nodata(words: Given) -> int:
    text = words.get("nodata", "204")
    if text not in ("204", "404"):
        raise InvalidError(f"nodata '{text[:10]}' is neither 204 nor 404")
    return int(text)


def _read_degrees(words: Given, name: str, otherwise: float) -> float:
    try:
        return float(words[name]) if words.get(name) else otherwise
    except ValueError as error:
        raise InvalidError(f"{name} '{words[name][:20]}' is no number") from error


PARAMETERS: Mapping[str, Sequence[str]] = {"dataselect": DATA_WORDS, "station": STATION_WORDS}
TYPES = {
    **dict.fromkeys(WINDOW, "xs:dateTime"), **dict.fromkeys(BOX, "xs:double"), "nodata": "xs:int",
    "includerestricted": "xs:boolean", "includeavailability": "xs:boolean", "matchtimeseries": "xs:boolean",
}  # fmt: skip
"""Types of XML Schema of what a service is asked; anything else is a text."""


def write_wadl(service: str, base: str) -> str:
    """Describe a service as WADL, by which clients find out what it can be asked."""
    parameters = "".join(
        f'<param name="{name}" style="query" type="{TYPES.get(name, "xs:string")}"/>' for name in PARAMETERS[service]
    )
    methods = f'<method name="GET"><request>{parameters}</request></method><method name="POST"/>'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<application xmlns="http://wadl.dev.java.net/2009/02" xmlns:xs="http://www.w3.org/2001/XMLSchema">'
        f'<resources base="{base}"><resource id="query" path="query">{methods}</resource>'
        '<resource path="version"><method name="GET"/></resource></resources></application>\n'
    )
