"""Raspberry Shake: a channel, a time and numbers between braces."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.drivers.cases import GroupTable
from tests.fuzz.wires.base import Tag, Talk, Wire, scaled
from wire.sample import Value

_DATAGRAM = re.compile(rb"\{'([A-Z0-9]{3})', ?[0-9.]+((?:, ?-?[0-9]+)+)\}")

Counts = list[tuple[str, list[int]]]


def _datagrams(talk: Talk, _: GroupTable) -> list[Counts]:
    """All datagrams at once: a scan of several channels stands on one of each."""
    return [
        [
            (packet[1].decode(), [int(count) for count in packet[2].decode().split(",")[1:]])
            for packet in _DATAGRAM.finditer(talk.heard)
        ]
    ]


def _values(packets: Counts, _: GroupTable, tag: Tag) -> Iterator[Value]:
    return (scaled(count, tag) for channel, counts in packets if channel == tag["channel"] for count in counts)


WIRE = Wire(_datagrams, _values)
