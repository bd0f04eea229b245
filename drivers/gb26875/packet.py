"""Packets of GB/T 26875.3-2011, chapter 6. Pure.

    40 40  serial(2) version(2) time(6) source(6) destination(6) length(2) command(1)  application  sum(1)  23 23

Numbers are little endian; a time is second, minute, hour, day, month, year. The sum covers all between the marks.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from drivers import bits
from drivers.framing.splitter import NO, WAIT

HEAD, TAIL = b"@@", b"##"
CONTROL_OCTETS = 25
"""Octets from serial to command."""

APPLICATION_OCTETS_MOST = 1024
SEND, CONFIRM, DENY = 2, 3, 6
COMMANDS = frozenset({*range(7), *range(128, 256)})
"""The standard's commands, and those left to makers."""


class Packet(msgspec.Struct, frozen=True):
    """One packet. ``source`` and ``destination`` are addresses as hexadecimal digits, the highest first."""

    mono_ns: int
    control: bytes
    source: str
    sent: datetime | None
    command: int
    application: bytes


def measure(data: bytes, at: int) -> int:
    """Count the octets of a valid frame at an offset; see `drivers.framing.splitter.Measure`."""
    begin = at + len(HEAD)
    control = data[begin : begin + CONTROL_OCTETS]
    if len(control) < CONTROL_OCTETS:
        return WAIT
    length = int.from_bytes(control[22:24], "little")
    if length > APPLICATION_OCTETS_MOST or control[24] not in COMMANDS:
        return NO
    end = begin + CONTROL_OCTETS + length
    if len(data) < end + 1 + len(TAIL):
        return WAIT
    is_valid = data.startswith(TAIL, end + 1) and bits.sum8(data[begin:end]) == data[end]
    return end + 1 + len(TAIL) - at if is_valid else NO


def parse(octets: bytes, mono_ns: int) -> Packet:
    """Read a valid frame."""
    control = octets[len(HEAD) : len(HEAD) + CONTROL_OCTETS]
    return Packet(
        mono_ns=mono_ns,
        control=control,
        source=control[10:16][::-1].hex(),
        sent=read_time(control[4:10]),
        command=control[24],
        application=octets[len(HEAD) + CONTROL_OCTETS : -1 - len(TAIL)],
    )


def read_time(octets: bytes) -> datetime | None:
    """Read the six octets of a time; None if they are no time, as of a transmitter whose clock was never set."""
    second, minute, hour, day, month, year = octets
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001 - local time, as it stands
    except ValueError:
        return None


def answer(packet: Packet, command: int) -> bytes:
    """Make the answer to a packet: its serial, version and time, the addresses changed over, no application data."""
    control = packet.control
    body = control[:10] + control[16:22] + control[10:16] + bytes((0, 0, command))
    return HEAD + body + bytes((bits.sum8(body),)) + TAIL
