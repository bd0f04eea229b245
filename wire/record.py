"""Records: what the spool keeps and the fleet commits, each identified by (gateway, epoch, lane, seq).

A record is immutable and opaque to the transport. Its bytes are a CRC-32 and one msgpack array, so each decodes
apart from its neighbours; a scan names its columns by the id of a `Layout`, which travels in the same batch.

Evolution: arrays grow at their end only, by fields with a default. A reader ignores elements it does not know, and
a new kind of record is a new tag; a reader that does not know the tag quarantines the record.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from enum import IntFlag, StrEnum

import msgspec

from wire.errors import DecodeError
from wire.sample import Value


class Lane(StrEnum):
    """What a record competes with on a thin link: alarms (A) go before measurements (M), these before waveforms (W)."""

    ALARMS = "A"
    MEASUREMENTS = "M"
    WAVEFORMS = "W"


LANES = tuple(Lane)


class Layout(msgspec.Struct, frozen=True, array_like=True):
    """The columns of a group's scans: group name and the tag names in the order of the values."""

    group: str
    tags: tuple[str, ...]


class ScanRecord(msgspec.Struct, frozen=True, array_like=True, tag="scan"):
    """One scan of one group: n values read at one time. Lane M.

    ``layout`` is `layout_id` of the columns. ``mono_ns`` counts from the boot named in the batch; ``wall_ns`` is
    UTC since 1970, None while the clock is unset. ``quality`` has one octet per value, or none if all are good.
    ``columns`` tells which columns the values belong to, where a tag is reported by exception: bit i (of octet i // 8,
    the lowest first) stands for column i. Empty means all of them. A reader that does not know this element finds
    fewer values than columns and refuses the record, so that no value gets to another tag.
    """

    layout: bytes
    mono_ns: int
    wall_ns: int | None
    values: tuple[Value, ...]
    quality: bytes = b""
    columns: bytes = b""


class AlarmRecord(msgspec.Struct, frozen=True, array_like=True, tag="alarm"):
    """A change of state of one alarm. Lane A.

    ``change`` is ``raised`` or ``cleared``; ``value`` and ``limit`` are in the tag's unit; ``priority`` 1 is the
    most urgent of 4. ``standing`` is how the alarm stands from now on (`wire.alarm.Standing`), ``until_ns`` when its
    shelving ends, in UTC. ``occurrence`` names this raise and all that follows until the next one: it is never 0, and
    no two of an alarm are the same.
    """

    mono_ns: int
    wall_ns: int | None
    alarm: str
    tag: str
    level: str
    change: str
    priority: int
    value: Value
    limit: float | None = None
    quality: int = 0
    standing: int = 0
    until_ns: int | None = None
    occurrence: int = 0


class StandingRecord(msgspec.Struct, frozen=True, array_like=True, tag="standing"):
    """An alarm stands otherwise than before though its condition is the same. Lane A.

    ``change`` is one of `wire.alarm.CHANGES`; ``standing``, ``until_ns`` and ``occurrence`` are as in `AlarmRecord`.
    ``by`` is who asked for it, empty if it followed from the rules; ``where`` is ``page``, ``command-line``,
    ``console`` or empty; ``comment`` is theirs. ``command`` is the id of the fleet's command that this follows from.
    """

    mono_ns: int
    wall_ns: int | None
    alarm: str
    tag: str
    level: str
    change: str
    priority: int
    standing: int
    until_ns: int | None = None
    occurrence: int = 0
    by: str = ""
    where: str = ""
    comment: str = ""
    command: str = ""


class ActionRecord(msgspec.Struct, frozen=True, array_like=True, tag="action"):
    """What a local output was told to do and what came of it. Lane A.

    ``cause`` names the alarm, or is ``start``, ``stop``, ``removed``, ``test`` or the tag of a maintenance key.
    ``state`` is ``on``, ``off``, ``test`` (on, though no alarm asked for it), ``inhibited`` or ``uninhibited`` (the key
    was turned), ``locked`` (nothing was written) or ``unlocked``. ``error`` is empty when the output took the command;
    it says why one is locked.
    ``delay_ns`` runs from the sample that caused it to the answer of the output.
    """

    mono_ns: int
    wall_ns: int | None
    output: str
    state: str
    cause: str
    delay_ns: int
    error: str = ""


class AuditRecord(msgspec.Struct, frozen=True, array_like=True, tag="audit"):
    """Something the gateway did or met that somebody will ask about later. Lane A.

    ``event`` is a word such as ``started``, ``configured``, ``refused``, ``losing-data``; ``detail`` is for people.
    ``command`` is the id of the command that this answers (`wire.command.ANSWERS`), empty for any other event.
    """

    mono_ns: int
    wall_ns: int | None
    event: str
    detail: str = ""
    command: str = ""


class FoldedRecord(msgspec.Struct, frozen=True, array_like=True, tag="folded"):
    """Events of one rule that found no room each: how many, from when to when. Lane A.

    ``rule`` is an alarm's name, an output's, or the word of an audit event. ``mono_ns`` and ``wall_ns`` are of the last
    one, ``first_mono_ns`` and ``first_wall_ns`` of the first. The event after them, which says how things stand, is a
    record of its own.
    """

    mono_ns: int
    wall_ns: int | None
    rule: str
    count: int
    first_mono_ns: int
    first_wall_ns: int | None


class WaveformRecord(msgspec.Struct, frozen=True, array_like=True, tag="waveform"):
    """One packet of one stream: consecutive samples at a fixed rate. Lane W.

    ``stream`` names what was recorded, as network, station, location and channel: ``NET.STA.LOC.CHA``. ``mono_ns`` and
    ``wall_ns`` are of the first of ``samples`` samples, which follow each other at ``rate_hz``. ``payload`` holds them
    as ``encoding`` says (`seismic.packing`); spool and uplink never look into it. ``timing`` says how good the times
    are, 0 to 100 % as in miniSEED, -1 if nobody knows; ``flags`` are of `WaveFlag`.
    """

    stream: str
    mono_ns: int
    wall_ns: int | None
    rate_hz: float
    samples: int
    encoding: str
    payload: bytes
    timing: int = -1
    flags: int = 0


class WaveFlag(IntFlag):
    """What is to be known of a packet beside its samples. The first two are as in miniSEED 3."""

    TIME_QUESTIONABLE = 0x01
    CLOCK_LOCKED = 0x02
    GAP_BEFORE = 0x04
    CLIPPED = 0x08
    SPIKES = 0x10
    DEAD = 0x20
    EVENT = 0x40


class QuakeRecord(msgspec.Struct, frozen=True, array_like=True, tag="quake"):
    """What one station has measured of one earthquake so far. Lane A.

    ``station`` is ``NET.STA``; ``quake`` names the event at this station: the time of its onset in UTC, or in this
    boot while there is none; never 0. ``state`` is ``onset``, ``p-wave``, ``grown``, ``closed`` or ``rejected`` (it was
    none: ``reason`` says why). ``mono_ns`` and ``wall_ns`` are of this report, ``onset_ns`` and ``peak_ns`` of the
    trigger and of the strongest acceleration, in UTC. Peaks are of the vector of what components there are, 0.1 to
    10 Hz: in gal, cm/s, cm. Intensities are instrumental, ``grade`` is the class by GB/T 17742 with its hysteresis.
    ``pd_cm``, ``tau_c_s`` and the magnitude with its standard error come from the first seconds of the P wave.
    ``spectrum`` is the pseudo-acceleration in gal at 5 % damping at `seismic.spectrum.PERIODS`, once closed.
    ``quality`` is as of a sample.
    """

    station: str
    mono_ns: int
    wall_ns: int | None
    quake: int
    state: str
    onset_ns: int | None
    peak_ns: int | None
    duration_s: float
    pga_gal: float
    pgv_cm_s: float
    pgd_cm: float
    intensity_gb: float
    intensity_jma: float
    grade: int
    quality: int = 0
    pd_cm: float | None = None
    tau_c_s: float | None = None
    magnitude: float | None = None
    magnitude_error: float | None = None
    spectrum: tuple[float, ...] = ()
    reason: str = ""


class FileRecord(msgspec.Struct, frozen=True, array_like=True, tag="file"):
    """One part of a file that a command asked for (docs/adr/0021). Lane W.

    ``command`` is the command's id. The parts ``number`` 1 to ``of``, put together in this order, are the file; a part
    has `FILE_PART_OCTETS` at most, a file `FILE_PARTS_MOST` parts.
    """

    mono_ns: int
    wall_ns: int | None
    command: str
    number: int
    of: int
    payload: bytes


FILE_PART_OCTETS, FILE_PARTS_MOST = 16_384, 32

Record = (
    ScanRecord
    | AlarmRecord
    | StandingRecord
    | ActionRecord
    | AuditRecord
    | FoldedRecord
    | WaveformRecord
    | FileRecord
    | QuakeRecord
)

CRC_OCTETS = 4
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def layout_id(layout: Layout) -> bytes:
    """Name a layout by its content: the first 8 octets of the SHA-256 of its encoding."""
    return hashlib.sha256(_encoder.encode(layout)).digest()[:8]


def pack_columns(columns: Iterable[int], width: int) -> bytes:
    """Write which of ``width`` columns a scan has values of, as `ScanRecord.columns`."""
    return sum(1 << column for column in set(columns)).to_bytes(-(-width // 8), "little")


def columns_of(record: ScanRecord, width: int) -> Sequence[int]:
    """Return the column of each value of a scan whose layout has ``width`` columns.

    Raises DecodeError if the values do not fit the columns.
    """
    columns: Sequence[int] = range(width)
    if record.columns:
        bits = int.from_bytes(record.columns, "little")
        if len(record.columns) != -(-width // 8) or bits >> width:
            raise DecodeError(f"scan has a map of {len(record.columns)} octets for {width} columns")
        columns = [column for column in columns if bits >> column & 1]
    if len(record.values) != len(columns):
        raise DecodeError(f"scan of {len(record.values)} values for {len(columns)} of its layout's {width} columns")
    return columns


def encode_record(record: Record) -> bytes:
    """Encode one record: CRC-32 (IEEE, big-endian) of what follows, then a msgpack array."""
    body = _encoder.encode(record)
    return zlib.crc32(body).to_bytes(CRC_OCTETS, "big") + body


def decode_record(item: bytes) -> Record:
    """Decode what `encode_record` made. Raises DecodeError if the CRC, the kind or a type does not fit."""
    if len(item) <= CRC_OCTETS:
        raise DecodeError(f"record of {len(item)} octets is too short")
    body = item[CRC_OCTETS:]
    if zlib.crc32(body).to_bytes(CRC_OCTETS, "big") != item[:CRC_OCTETS]:
        raise DecodeError("record fails its CRC")
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"record cannot be read: {error}") from error
