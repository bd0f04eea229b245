"""A packet as a record brings it: its stream's name and its samples, checked. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from seismic.errors import SeismicError
from seismic.packet import NS, from_record
from seismic.packing import ENCODING
from wire.errors import WireError
from wire.record import WaveformRecord

PACKET_MOST_NS = 60 * NS
"""Longest packet taken. A gateway's have 2 s at most; whoever looks for what overlaps a time goes back so far."""
NAME = re.compile(r"([A-Z0-9]{1,2})\.([A-Z0-9]{1,5})\.([A-Z0-9]{0,2})\.([A-Z0-9]{3})")
"""Codes as miniSEED 2 holds them (SEED manual 2.4, fixed section of the data header)."""
TIMING_MOST = 100


class StreamName(msgspec.Struct, frozen=True):
    """What was recorded: network, station, location ("" for none) and channel."""

    network: str
    station: str
    location: str
    channel: str

    @property
    def dotted(self) -> str:
        """``NET.STA.LOC.CHA``."""
        return f"{self.network}.{self.station}.{self.location}.{self.channel}"


def parse_name(text: str) -> StreamName | None:
    """Read ``NET.STA.LOC.CHA``; None for anything else."""
    found = NAME.fullmatch(text)
    return StreamName(*found.groups()) if found else None


def station_of(stream: str) -> str:
    """Return the ``NET.STA`` of a stream."""
    return ".".join(stream.split(".", 2)[:2])


def read_counts(record: WaveformRecord) -> Sequence[int]:
    """Check a record and return its samples. Raises WireError, and the record goes to quarantine."""
    if parse_name(record.stream) is None:
        raise WireError(f"'{record.stream[:40]}' names no stream: NET.STA.LOC.CHA is wanted")
    if not (math.isfinite(record.rate_hz) and record.rate_hz > 0):
        raise WireError(f"a waveform has a rate of {record.rate_hz} Hz")
    if record.samples < 1:
        raise WireError(f"a waveform has {record.samples} samples")
    if record.samples / record.rate_hz * NS > PACKET_MOST_NS:
        raise WireError(f"a waveform lasts longer than {PACKET_MOST_NS // NS} s")
    if not -1 <= record.timing <= TIMING_MOST:
        raise WireError(f"a waveform has a timing quality of {record.timing} %")
    if record.encoding != ENCODING:
        raise WireError(f"a waveform is encoded as '{record.encoding[:40]}', which this release does not know")
    try:
        return from_record(record).counts
    except SeismicError as error:
        raise WireError(f"a waveform cannot be read: {error}") from error
