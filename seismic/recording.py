"""Recordings of strong motion as files hold them: miniSEED, K-NET ASCII, CSV with a header of comments. Octets in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePath
from typing import Any

import msgspec

from seismic.errors import SeismicError
from seismic.report import Component, Quantity

GRAVITY = 9.80665
SAMPLES_MOST = 4_000_000
"""Of all components, gaps among them: hours of a station, and what a gateway can hold in memory."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of up to three components at one rate; None where there is a gap. In m/s2, or m/s of a velocity."""

    rate_hz: float
    start_ns: int
    """UTC of the first sample, 0 if the file does not tell."""
    components: tuple[Component, ...]
    values: tuple[Sequence[float | None], ...]

    def samples(self) -> Iterator[tuple[int, tuple[float | None, ...]]]:
        """Give the time in ns since 1970 and the values of each sample."""
        step_ns = 1e9 / self.rate_hz
        for at, values in enumerate(zip(*self.values, strict=True)):
            yield self.start_ns + round(at * step_ns), values


def read_recording(name: str, data: bytes, gain: float | None = None, quantity: Quantity = "acceleration") -> Recording:
    """Read a recording of any of the formats, told by its content.

    ``gain`` is what miniSEED has in counts per m/s2, or per m/s if ``quantity`` is a velocity; the other formats say
    so themselves. ``name`` is for errors. Raises SeismicError.
    """
    try:
        if data.startswith(b"Origin Time"):
            return _read_knet(data.decode("ascii"))
        if data[:1] == b"#":
            return _read_csv(data.decode("utf-8"))
        if data[:2] == b"MS" or data[6:7] in (b"D", b"R", b"Q", b"M"):
            return _read_miniseed(data, gain, quantity)
    except (ValueError, OverflowError) as error:
        raise SeismicError(f"{PurePath(name).name} cannot be read: {error}") from error
    raise SeismicError(
        f"{PurePath(name).name} is no recording that is known",
        hint="miniSEED 2 or 3, K-NET ASCII, or CSV whose first lines are comments that tell rate, unit and channels",
    )


def join(recordings: Sequence[Recording]) -> Recording:
    """Put the components of several recordings of the same time together, as K-NET has a file for each."""
    first = recordings[0]
    if any(other.rate_hz != first.rate_hz or other.start_ns != first.start_ns for other in recordings):
        raise SeismicError("the files do not begin at the same time with the same rate", hint="give them one by one")
    length = min(len(values) for recording in recordings for values in recording.values)
    return msgspec.structs.replace(
        first,
        components=tuple(component for recording in recordings for component in recording.components),
        values=tuple(values[:length] for recording in recordings for values in recording.values),
    )


# K-NET ASCII: www.kyoshin.bosai.go.jp, "K-NET ASCII format". Times are Japanese, and the record time includes 15 s.
_KNET_HEAD = 17
_KNET_DELAY_S = 15
_JAPAN = timezone(timedelta(hours=9))
_DIRECTIONS: Mapping[str, tuple[float, float]] = {
    "N-S": (0, 0),
    "E-W": (90, 0),
    "U-D": (0, -90),
    "1": (0, 0),
    "2": (90, 0),
    "3": (0, -90),
    "4": (0, 0),
    "5": (90, 0),
    "6": (0, -90),
}
"""Azimuth and dip. KiK-net numbers them: 1 to 3 in the borehole, 4 to 6 at the surface."""


def _read_knet(text: str) -> Recording:
    lines = text.splitlines()
    if len(lines) <= _KNET_HEAD:
        raise ValueError("it ends within its header")
    head = {line[:18].strip(): line[18:].strip() for line in lines[:_KNET_HEAD]}
    try:
        rate_hz = float(head["Sampling Freq(Hz)"].removesuffix("Hz"))
        scale = re.fullmatch(r"([\d.]+)\(gal\)/([\d.]+)", head["Scale Factor"])
        direction = head["Dir."]
        written = datetime.strptime(head["Record Time"], "%Y/%m/%d %H:%M:%S").replace(tzinfo=_JAPAN)
    except KeyError as error:
        raise ValueError(f"its header lacks {error}") from error
    if scale is None or not float(scale[2]):
        raise ValueError("its scale factor is not <n>(gal)/<m>")
    m_s2 = float(scale[1]) / float(scale[2]) / 100
    azimuth, dip = _DIRECTIONS.get(direction, (0, 0))
    values = [m_s2 * int(word) for line in lines[_KNET_HEAD:] for word in line.split()]
    return _made(
        rate_hz,
        _ns(written - timedelta(seconds=_KNET_DELAY_S)),
        (Component(name=direction, azimuth_deg=azimuth, dip_deg=dip),),
        (values,),
    )


_UNITS: Mapping[str, float] = {
    "micro-g": GRAVITY * 1e-6,
    "mg": GRAVITY * 1e-3,
    "gal": 0.01,
    "cm/s2": 0.01,
    "m/s2": 1.0,
    "g": GRAVITY,
}
_AZIMUTH = re.compile(r"(\d+) *deg", re.IGNORECASE)


def _read_csv(text: str) -> Recording:
    """Read lines of one value per channel behind comments such as those of lab/recordings.

    The comments name ``<rate> samples/s``, ``acceleration in <unit>``, ``channels: <azimuth> Deg, .., Up`` and, if it
    is known, the start as 2019-07-06T03:19:37.0Z.
    """
    lines = text.splitlines()
    head = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    rate = re.search(r"([\d.]+) samples/s", head)
    unit = re.search(r"acceleration in ([\w/-]+)", head)
    channels = re.search(r"channels: ([^;#]*?)(?= source:|$)", head)
    if rate is None or unit is None or unit[1] not in _UNITS or channels is None:
        raise ValueError("its comments do not tell '<n> samples/s', 'acceleration in <unit>' and 'channels: ...'")
    start = re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", head)
    components = tuple(_csv_component(name.strip()) for name in channels[1].split(","))
    rows = [
        [float(word) * _UNITS[unit[1]] for word in line.split(",")]
        for line in lines
        if line.strip() and not line.startswith("#")
    ]
    if any(len(row) != len(components) for row in rows):
        raise ValueError(f"a line has not {len(components)} values as its comments say")
    start_ns = _ns(datetime.fromisoformat(start[0])) if start else 0
    return _made(float(rate[1]), start_ns, components, tuple(zip(*rows, strict=True)))


def _csv_component(name: str) -> Component:
    azimuth = _AZIMUTH.match(name)
    if azimuth:
        return Component(name=name, azimuth_deg=float(azimuth[1]))
    return Component(name=name, dip_deg=-90.0 if name.lower() in {"up", "z"} else 0.0)


_ORIENTATION: Mapping[str, tuple[float, float]] = {"Z": (0, -90), "3": (0, -90), "E": (90, 0), "2": (90, 0)}


def _read_miniseed(data: bytes, gain: float | None, quantity: Quantity) -> Recording:
    """Read the first three channels of one rate that begin together; a gap is filled with None."""
    import pymseed

    if not gain or not math.isfinite(gain):
        raise SeismicError("miniSEED holds counts", hint="say how many are 1 m/s2 (or 1 m/s): the gain")
    try:
        traces = pymseed.MS3TraceList.from_buffer(data, unpack_data=True)
    except pymseed.MiniSEEDError as error:
        raise ValueError(str(error)) from error
    channels = [trace for trace in traces if any(segment.numsamples for segment in trace)][:3]
    if not channels:
        raise ValueError("it holds no samples")
    rates = {round(segment.samprate, 6) for trace in channels for segment in trace}
    if len(rates) > 1:
        raise ValueError(f"its channels have different rates: {sorted(rates)}")
    rate_hz = rates.pop()
    start_ns = min(segment.starttime for trace in channels for segment in trace)
    columns = [_column(trace, start_ns, rate_hz, gain) for trace in channels]
    length = max(len(column) for column in columns)
    for column in columns:
        column.extend([None] * (length - len(column)))
    names = [trace.sourceid.removeprefix("FDSN:") for trace in channels]
    components = tuple(_seed_component(name, quantity) for name in names)
    return _made(rate_hz, start_ns, components, tuple(columns))


def _column(trace: Any, start_ns: int, rate_hz: float, gain: float) -> list[float | None]:
    column: list[float | None] = []
    for segment in trace:
        at = round((segment.starttime - start_ns) / 1e9 * rate_hz)
        if at > SAMPLES_MOST:
            raise ValueError("its segments are too far apart")
        column.extend([None] * (at - len(column)))
        column[at:] = [count / gain for count in segment.datasamples]
    return column


def _seed_component(name: str, quantity: Quantity) -> Component:
    azimuth, dip = _ORIENTATION.get(name[-1], (0, 0))
    return Component(name=name, azimuth_deg=azimuth, dip_deg=dip, quantity=quantity)


def _made(
    rate_hz: float, start_ns: int, components: tuple[Component, ...], values: tuple[Sequence[float | None], ...]
) -> Recording:
    if not values or not values[0]:
        raise ValueError("it holds no samples")
    if len(values) * len(values[0]) > SAMPLES_MOST:
        raise ValueError(f"it holds more than {SAMPLES_MOST} samples")
    return Recording(rate_hz=rate_hz, start_ns=start_ns, components=components, values=values)


def _ns(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
