"""Packets of a time as files: miniSEED and CSV, a page of packets at a time, cut to the sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.errors import InvalidError
from fleet.waveforms import fdsn, service
from fleet.waveforms.fdsn import Selection
from fleet.waveforms.models import WaveStream
from fleet.waveforms.packets import parse_name
from fleet.waveforms.spans import NS
from seismic import miniseed
from seismic.packet import Packet, spell_ns

SAMPLES_MOST = 200_000_000
"""Of one answer: about a week of three components at 100 samples/s, some 500 MB."""
TOGETHER = 500
"""Packets that are put together to larger records."""


Wanted = tuple[str, int, int]
"""A stream, from when up to when (UTC in ns)."""


class Form(msgspec.Struct, frozen=True):
    """A kind of file."""

    ending: str
    mime: str
    write: Callable[[Iterable[Packet]], Iterator[bytes]]


def select(session: Session, selection: Selection) -> list[str]:
    """Return the streams that a selection means, by name."""
    names = sorted(set(session.scalars(sa.select(WaveStream.name))))
    parsed = ((name, parse_name(name)) for name in names)
    return [
        name
        for name, codes in parsed
        if codes and selection.matches(codes.network, codes.station, codes.location, codes.channel)
    ]


def count_samples(session: Session, wanted: Iterable[Wanted]) -> int:
    """Return about how many samples there are of what is wanted. Raises InvalidError for more than one answer holds."""
    count = 0
    for name, start_ns, end_ns in wanted:
        for span in service.list_spans(session, name, start_ns, end_ns):
            count += round((min(span.end_ns, end_ns) - max(span.start_ns, start_ns)) * span.rate_hz / NS)
    if count > SAMPLES_MOST:
        raise InvalidError(f"about {count} samples are asked for at once", hint=f"{SAMPLES_MOST} at most: ask in parts")
    return count


def write(session: Session, wanted: Iterable[Wanted], form: Form) -> Iterator[bytes]:
    """Write one stream after the other."""
    for name, start_ns, end_ns in wanted:
        yield from form.write(read(session, name, start_ns, end_ns))


def read(session: Session, name: str, start_ns: int, end_ns: int) -> Iterator[Packet]:
    """Yield the packets of a stream from a time up to another, without the samples outside."""
    for packet in service.iterate(session, name, start_ns, end_ns):
        if (part := trim(packet, start_ns, end_ns)) is not None:
            yield part


def trim(packet: Packet, start_ns: int, end_ns: int) -> Packet | None:
    """Return the part of a packet whose samples lie at or after a time and before another; None if none does."""
    assert packet.start_ns is not None
    begin_ns, rate_hz, size = packet.start_ns, packet.rate_hz, len(packet.counts)
    inside = [at for at in range(size) if start_ns <= begin_ns + spell_ns(at, rate_hz) < end_ns]
    if len(inside) in (0, size):
        return packet if inside else None
    first_ns = begin_ns + spell_ns(inside[0], rate_hz)
    return msgspec.structs.replace(packet, start_ns=first_ns, counts=packet.counts[inside[0] : inside[-1] + 1])


def write_miniseed(packets: Iterable[Packet], version: miniseed.Version) -> Iterator[bytes]:
    """Write packets as miniSEED, those that follow each other in common records."""
    rest = iter(packets)
    while some := list(islice(rest, TOGETHER)):
        yield miniseed.write(some, version)


def write_csv(packets: Iterable[Packet]) -> Iterator[bytes]:
    """Write packets as CSV: a line for each sample, UTC and counts; a comment where another packet begins anew."""
    yield b"# UTC,counts\n"
    due: tuple[int, float] | None = None
    for packet in packets:
        assert packet.start_ns is not None
        at_ns = packet.start_ns
        if due is None or packet.rate_hz != due[1] or abs(at_ns - due[0]) > spell_ns(0.5, packet.rate_hz):
            yield f"# {packet.stream} {packet.rate_hz:g} samples/s from {fdsn.write_time(at_ns)}\n".encode()
        rows = (
            f"{fdsn.write_time(at_ns + spell_ns(at, packet.rate_hz))},{count}\n"
            for at, count in enumerate(packet.counts)
        )
        yield "".join(rows).encode()
        due = at_ns + spell_ns(len(packet.counts), packet.rate_hz), packet.rate_hz


MINISEED = "application/vnd.fdsn.mseed"
FORMS: Mapping[str, Form] = {
    "miniseed": Form("mseed", MINISEED, lambda packets: write_miniseed(packets, 2)),
    "miniseed3": Form("mseed3", "application/vnd.fdsn.mseed3", lambda packets: write_miniseed(packets, 3)),
    "csv": Form("csv", "text/csv", write_csv),
}
