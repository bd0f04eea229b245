"""What the fields of each sentence mean: names, units, and when a station says that a value is none. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from drivers.nmea.sentence import Sentence

KNOT = 1852 / 3600
SPEEDS = {"M": 1.0, "N": KNOT, "K": 1 / 3.6, "S": 1609.344 / 3600}
"""Metres a second in one of each speed unit: m/s, knots, km/h, miles an hour."""

HPA_PER_INHG = 33.8638866667

DECIMALS = 6
"""What a converted unit keeps: no talker knows more, and 0.9824 bar is 982.4 hPa and not 982.4000000000001."""

DEGREE_DECIMALS = 8
"""A hundred-millionth of a degree is a millimetre."""

DEAD_MODES = frozenset("EMNS")
"""Modes of RMC whose position was not measured: estimated, entered by hand, none, simulated."""

FIRST_YEAR = 1980
"""GPS time begins here: years of two digits are 1980 to 2079, and none is earlier."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_ANGLE = re.compile(r"([0-9]{1,3})([0-9]{2}(?:\.[0-9]*)?)")
_CLOCK = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})(\.[0-9]*)?")
_DAY = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})")

Read = Callable[[Sentence], "float | None"]
"""Take a number out of a sentence. None: there, but empty or marked as not valid."""

ReadText = Callable[[Sentence], "str | None"]
"""The same for a text."""


def number(text: str) -> float | None:
    """Read a number as the standard writes it."""
    return float(text) if _NUMBER.fullmatch(text) else None


def at(field: int) -> Read:
    """Prepare the reading of a field as a number, the first field being 1."""
    return lambda sentence: number(sentence.field(field))


def transducer(name: str) -> tuple[Callable[[Sentence], bool], Read]:
    """Prepare the search for a transducer among the quadruples of an XDR: whether it is there, and its number."""

    def place(sentence: Sentence) -> int:
        names = sentence.fields[3::4]
        return names.index(name) * 4 + 2 if name in names else 0

    return lambda sentence: place(sentence) > 0, lambda sentence: number(sentence.field(place(sentence)))


def _first(*reads: Read) -> Read:
    """Take the first that has a number: MDA gives some in two units, and stations fill one."""

    def read(sentence: Sentence) -> float | None:
        return next((value for each in reads if (value := each(sentence)) is not None), None)

    return read


def _times(read_plain: Read, factor: float) -> Read:
    def read(sentence: Sentence) -> float | None:
        value = read_plain(sentence)
        return None if value is None else round(value * factor, DECIMALS)

    return read


def _mwv(read_plain: Read) -> Read:
    return lambda sentence: read_plain(sentence) if sentence.field(5) == "A" else None


def _mwv_speed(sentence: Sentence) -> float | None:
    value, factor = number(sentence.field(3)), SPEEDS.get(sentence.field(4))
    return None if value is None or factor is None else round(value * factor, DECIMALS)


def _is_fixed(sentence: Sentence) -> bool:
    return sentence.field(2) == "A" and sentence.field(12) not in DEAD_MODES


def _rmc(read_plain: Read) -> Read:
    return lambda sentence: read_plain(sentence) if _is_fixed(sentence) else None


def _degrees(field: int, plus: str, minus: str, most: float) -> Read:
    """Read ``dddmm.mm`` and the letter behind it as degrees."""

    def read(sentence: Sentence) -> float | None:
        match, sign = _ANGLE.fullmatch(sentence.field(field)), {plus: 1, minus: -1}.get(sentence.field(field + 1))
        if match is None or sign is None or float(match[2]) >= 60:
            return None
        degrees = round(int(match[1]) + float(match[2]) / 60, DEGREE_DECIMALS)
        return sign * degrees if degrees <= most else None

    return read


def _variation(sentence: Sentence) -> float | None:
    value, sign = number(sentence.field(10)), {"E": 1, "W": -1}.get(sentence.field(11))
    return None if value is None or sign is None else sign * value


def _iso(clock: str, year: int, month: int, day: int) -> str | None:
    """Write a time as ISO 8601 in UTC. None if there is no such time; a leap second has none."""
    match = _CLOCK.fullmatch(clock)
    if match is None or year < FIRST_YEAR:
        return None
    try:
        moment = datetime(year, month, day, int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
    except ValueError:
        return None
    fraction = (match[4] or "").rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _rmc_utc(sentence: Sentence) -> str | None:
    match = _DAY.fullmatch(sentence.field(9))
    if match is None or not _is_fixed(sentence):
        return None
    year = FIRST_YEAR + (int(match[3]) - FIRST_YEAR) % 100
    return _iso(sentence.field(1), year, int(match[2]), int(match[1]))


def _rmc_status(sentence: Sentence) -> str | None:
    return sentence.field(2) or None


def _zda_utc(sentence: Sentence) -> str | None:
    day, month, year = (sentence.field(field) for field in (2, 3, 4))
    if not all(part.isascii() and part.isdigit() for part in (day, month, year)) or len(year) != 4:
        return None
    return _iso(sentence.field(1), int(year), int(month), int(day))


NUMBERS: dict[str, dict[str, Read]] = {
    "MWV": {"angle": _mwv(at(1)), "speed": _mwv(_mwv_speed)},
    "MDA": {
        "pressure": _first(_times(at(3), 1000), _times(at(1), HPA_PER_INHG)),
        "air_temperature": at(5),
        "water_temperature": at(7),
        "humidity": at(9),
        "absolute_humidity": at(10),
        "dew_point": at(11),
        "wind_direction": at(13),
        "wind_direction_magnetic": at(15),
        "wind_speed": _first(at(19), _times(at(17), KNOT)),
    },
    "MTW": {"temperature": at(1)},
    "RMC": {
        "latitude": _rmc(_degrees(3, "N", "S", 90.0)),
        "longitude": _rmc(_degrees(5, "E", "W", 180.0)),
        "sog": _rmc(_times(at(7), KNOT)),
        "cog": _rmc(at(8)),
        "variation": _rmc(_variation),
    },
}
"""The fields that are numbers, by sentence and name."""

TEXTS: dict[str, dict[str, ReadText]] = {
    "RMC": {"utc": _rmc_utc, "status": _rmc_status},
    "ZDA": {"utc": _zda_utc},
}
"""The fields that are texts."""


def names(sentence: str) -> tuple[str, ...]:
    """List the names that the fields of a sentence have."""
    return (*NUMBERS.get(sentence, {}), *TEXTS.get(sentence, {}))
