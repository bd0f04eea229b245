"""Samples of one packet in few octets, for lane W: differences in Rice code, ``delta-rice``, lossless over int32.

    octet 0   order of the differences (0 to 3) in the high 3 bits, Rice parameter k (0 to 31) in the low 5
    ...       for each sample, the highest bit of an octet first: the value's high part as so many 0 bits and a 1, then
              its k low bits; after `RUN_MOST` 0 bits no 1 follows but all 32 bits of the value
    ...       0 bits up to the end of the octet

A value is the difference of that order mod 2**32 (of a lower order for the first samples, which have fewer before
them), zigzag-coded so that small ones of either sign are small. Source: R. F. Rice, "Some Practical Universal Noiseless
Coding Techniques", JPL Publication 79-22, 1979; the differences of fixed order as in FLAC (RFC 9639, 9.2.5).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate

from seismic.errors import SeismicError

ENCODING = "delta-rice"

ORDERS = range(4)
PARAMETERS = range(32)
SAMPLES_MOST = 65_536
"""A packet has a second or two; more is no packet of ours."""

RUN_MOST = 24
VALUE_BITS = 32
_MASK = (1 << VALUE_BITS) - 1
_ESCAPE = "0" * RUN_MOST


def pack(counts: Sequence[int]) -> bytes:
    """Write samples. Raises SeismicError if one is no int32, or there are none or too many."""
    if not 0 < len(counts) <= SAMPLES_MOST:
        raise SeismicError(f"a packet of {len(counts)} samples: 1 to {SAMPLES_MOST} can be packed")
    if min(counts) < -(1 << 31) or max(counts) >= 1 << 31:
        raise SeismicError("a sample is beyond 32 bits", hint="is the sensitivity of the channel right?")
    _, order, k, values = min(
        (_bits(values, k), order, k, values) for order, values in _differences(counts) for k in _likely(values)
    )
    text = "".join(_codes(values, k))
    octets = -(-len(text) // 8)
    return bytes((order << 5 | k,)) + int(text.ljust(8 * octets, "0"), 2).to_bytes(octets, "big")


def unpack(payload: bytes, samples: int) -> array[int]:
    """Read what `pack` wrote: ``samples`` int32, as an array of type ``i``.

    Raises SeismicError for anything else; takes no more memory than so many samples need.
    """
    if not 0 < samples <= SAMPLES_MOST:
        raise SeismicError(f"a packet is said to have {samples} samples: 1 to {SAMPLES_MOST} may be")
    if not 1 < len(payload) <= 1 + samples * (RUN_MOST + VALUE_BITS) // 8 + 1 or payload[0] >> 5 not in ORDERS:
        raise SeismicError(f"{len(payload)} octets are no packed {samples} samples")
    values = _values(payload, samples)
    row = [(value >> 1 ^ -(value & 1)) & _MASK for value in values]
    for start in range(payload[0] >> 5, 0, -1):
        row[start - 1 :] = (total & _MASK for total in accumulate(row[start - 1 :]))
    return array("i", [value - (value >> 31 << 32) for value in row])


def _differences(counts: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield each order with its zigzag-coded values."""
    row = [count & _MASK for count in counts]
    for order in ORDERS:
        if order:
            row[order:] = [
                (value - before) & _MASK for value, before in zip(row[order:], row[order - 1 :], strict=False)
            ]
        yield order, [value << 1 if value < 1 << 31 else ~(value << 1) & _MASK for value in row]


def _likely(values: Sequence[int]) -> range:
    """Tell which parameters are worth trying: those about the logarithm of a typical value."""
    typical = sorted(values)[len(values) // 2].bit_length()
    return range(max(0, typical - 2), min(max(PARAMETERS), typical + 1) + 1)


def _bits(values: Sequence[int], k: int) -> int:
    """Count the bits that values take, but for the few that need an escape."""
    return len(values) * (k + 1) + sum([min(value >> k, RUN_MOST + VALUE_BITS) for value in values])


def _codes(values: Sequence[int], k: int) -> Iterator[str]:
    low, stop = (1 << k) - 1, 1 << k
    for value in values:
        high = value >> k
        if high < RUN_MOST:
            yield "0" * high + format(value & low | stop, "b")
        else:
            yield _ESCAPE + format(value, f"0{VALUE_BITS}b")


def _values(payload: bytes, samples: int) -> list[int]:
    k, octets = payload[0] & 31, len(payload) - 1
    text = format(int.from_bytes(payload[1:], "big"), f"0{8 * octets}b")
    values, at = [], 0
    for _ in range(samples):
        stop = text.find("1", at, at + RUN_MOST)
        end = at + RUN_MOST + VALUE_BITS if stop < 0 else stop + 1 + k
        code = text[at + RUN_MOST : end] if stop < 0 else f"{stop - at:b}{text[stop + 1 : end]}"
        if end > len(text) or not code:
            raise SeismicError(f"packed samples end before the last of {samples}")
        values.append(int(code, 2))
        at = end
    if len(text) - at > 7 or "1" in text[at:] or max(values) > _MASK:
        raise SeismicError(f"packed samples are other than {samples} of 32 bits")
    return values
