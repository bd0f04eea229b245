"""Parts: a message cut up, so that on a thin link no alarm waits for the rest of it. Pure.

A gateway cuts only for a fleet whose welcome says that it puts parts together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from wire.conversation import Word
from wire.errors import DecodeError
from wire.topics import Up

CUT = frozenset({Up.HELLO, Up.BATCH, Up.REPORTED})
"""Kinds of message that may come in parts: those that ingest reads."""
MESSAGE_MOST_BYTES = 4 * 1024 * 1024
"""Largest message that is put together from parts."""
HELD_MOST_BYTES = 64 * 1024 * 1024
"""Most that unfinished messages of all gateways may take; then the one that was begun first is given up."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Octets ``index`` of ``count`` of message ``number`` of a kind. Parts of one message come in their order."""

    kind: Word
    number: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    index: Annotated[int, Meta(ge=0, le=2**31)]
    count: Annotated[int, Meta(ge=1, le=2**31)]
    octets: bytes


class _Unfinished(msgspec.Struct):
    number: int
    parts: list[bytes]
    size: int = 0


def cut(kind: Up, number: int, payload: bytes, size: int) -> Iterator[Part]:
    """Cut an encoded message into parts of ``size`` octets."""
    count = -(-len(payload) // size)
    for index in range(count):
        octets = payload[index * size : (index + 1) * size]
        yield Part(kind=kind.value, number=number, index=index, count=count, octets=octets)


class Assembler:
    """Puts parts together, one message of each gateway and kind at a time."""

    def __init__(self, held_most_bytes: int = HELD_MOST_BYTES) -> None:
        self._held_most = held_most_bytes
        self._held = 0
        self._unfinished: dict[tuple[str, Up], _Unfinished] = {}

    def take(self, gateway: str, part: Part) -> tuple[Up, bytes] | None:
        """Take a part; return kind and octets of the message that it completes, else None.

        A part that does not follow the one before is ignored with the rest of its message: who sent it sends it again.
        Raises DecodeError if no such message can be.
        """
        if part.kind not in CUT:
            raise DecodeError(f"part of a message of kind '{part.kind}'")
        kind = Up(part.kind)
        begun = self._unfinished.get((gateway, kind))
        if part.index == 0:
            self._forget((gateway, kind))
            begun = self._unfinished[gateway, kind] = _Unfinished(part.number, [])
        if begun is None or begun.number != part.number or part.index != len(begun.parts):
            return None
        self._add(begun, part.octets)
        if begun.size > MESSAGE_MOST_BYTES:
            self._forget((gateway, kind))
            raise DecodeError(f"message in parts is larger than {MESSAGE_MOST_BYTES} octets")
        if part.index + 1 < part.count:
            self._make_room()
            return None
        self._forget((gateway, kind))
        return kind, b"".join(begun.parts)

    def _add(self, begun: _Unfinished, octets: bytes) -> None:
        begun.parts.append(octets)
        begun.size += len(octets)
        self._held += len(octets)

    def _forget(self, key: tuple[str, Up]) -> None:
        gone = self._unfinished.pop(key, None)
        if gone is not None:
            self._held -= gone.size

    def _make_room(self) -> None:
        while self._held > self._held_most:
            self._forget(next(iter(self._unfinished)))
