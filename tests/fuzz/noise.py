"""What a bad line does to octets: flipped, dropped, doubled, merged, late and foreign chunks. Pure, from a seed.

A chunk without octets is a silence: what follows it is late.
"""

from __future__ import annotations

import random
from collections.abc import Callable

Edit = Callable[[random.Random, list[bytes]], None]
INSERT_OCTETS_MOST = 12


def _pick(rng: random.Random, chunks: list[bytes]) -> int:
    return rng.randrange(len(chunks))


def _flip(rng: random.Random, chunks: list[bytes]) -> None:
    at = _pick(rng, chunks)
    data = bytearray(chunks[at])
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    chunks[at] = bytes(data)


def _set(rng: random.Random, chunks: list[bytes]) -> None:
    at = _pick(rng, chunks)
    data = bytearray(chunks[at])
    data[rng.randrange(len(data))] = rng.choice((0, 0xFF, 0x7F, 0x80, ord("-"), ord("."), rng.randrange(256)))
    chunks[at] = bytes(data)


def _drop(rng: random.Random, chunks: list[bytes]) -> None:
    at = _pick(rng, chunks)
    first = rng.randrange(len(chunks[at]))
    chunks[at] = chunks[at][:first] + chunks[at][first + rng.randint(1, 4) :]


def _insert(rng: random.Random, chunks: list[bytes]) -> None:
    at = _pick(rng, chunks)
    first = rng.randrange(len(chunks[at]) + 1)
    chunks[at] = chunks[at][:first] + rng.randbytes(rng.randint(1, INSERT_OCTETS_MOST)) + chunks[at][first:]


def _double(rng: random.Random, chunks: list[bytes]) -> None:
    at = _pick(rng, chunks)
    chunks.insert(at, chunks[at])


def _merge(rng: random.Random, chunks: list[bytes]) -> None:
    at = _pick(rng, chunks)
    chunks[at : at + 2] = [b"".join(chunks[at : at + 2])]


def _tear(rng: random.Random, chunks: list[bytes]) -> None:
    at = _pick(rng, chunks)
    cut = rng.randrange(len(chunks[at]) + 1)
    chunks[at : at + 1] = [chunks[at][:cut], chunks[at][cut:]]


def _swap(rng: random.Random, chunks: list[bytes]) -> None:
    one, other = _pick(rng, chunks), _pick(rng, chunks)
    chunks[one], chunks[other] = chunks[other], chunks[one]


EDITS: tuple[Edit, ...] = (_flip, _set, _drop, _insert, _double, _merge, _tear, _swap)
CHUNKS_MOST = 64
SILENCE_SHARE = 0.25


def spoil(rng: random.Random, chunks: list[bytes], edits: int) -> list[bytes]:
    """Return the chunks after so many edits, in the order they came out, one in four times with a silence between."""
    spoiled = [chunk for chunk in chunks if chunk]
    for _ in range(edits):
        if not spoiled:
            break
        rng.choice(EDITS)(rng, spoiled)
        spoiled = [chunk for chunk in spoiled if chunk][:CHUNKS_MOST]
    if rng.random() < SILENCE_SHARE:
        spoiled.insert(rng.randint(0, len(spoiled)), b"")
    return spoiled
