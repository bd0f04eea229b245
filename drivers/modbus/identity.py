"""Who answers at an address: the objects of function 43, kind 14. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from drivers.modbus.place import Span

BASIC, REGULAR = 1, 2
PARTS_MOST = 32
"""Most requests that one identification may take; there are 128 objects."""

NAMES = ("vendor", "product_code", "revision", "url", "product", "model", "application")
"""What the standard objects say, by their number."""

SIGNS_OF_LIFE = (Span(3, 0, 1), Span(4, 0, 1), Span(1, 0, 1))
"""What is read of an instrument that does not identify itself: any answer, even a refusal, shows that it is there."""

FIRST_UNITS = {True: (1,), False: (1, 255, 0)}
"""Units worth asking first on a line with numbered requests (False) or without (True)."""
LAST_UNIT = 247


def candidates(is_serial: bool) -> Sequence[int]:
    """List the units worth asking, the likely ones first."""
    return tuple(dict.fromkeys((*FIRST_UNITS[is_serial], *range(1, LAST_UNIT + 1))))


def objects(pdu: bytes) -> dict[int, bytes]:
    """Take the objects out of an answer whose length was checked."""
    found, at = {}, 7
    for _ in range(pdu[6]):
        found[pdu[at]] = pdu[at + 2 : at + 2 + pdu[at + 1]]
        at += 2 + pdu[at + 1]
    return found


def following(pdu: bytes, first: int) -> int | None:
    """Tell with which object to go on; None if this was the last part."""
    return pdu[5] if pdu[4] and pdu[5] > first else None


def knows_regular(pdu: bytes) -> bool:
    """Tell whether it has more than the three basic objects."""
    return pdu[3] & 0x7F >= REGULAR


def describe(found: Iterable[tuple[int, bytes]]) -> dict[str, str]:
    """Name what the objects say. ``model`` is the product or its code where there is no model."""
    told = {}
    for number, octets in found:
        text = "".join(filter(str.isprintable, octets.decode("utf-8", "replace"))).strip()
        if number < len(NAMES) and text:
            told[NAMES[number]] = text
    for stand_in in ("product", "product_code"):
        if stand_in in told:
            told.setdefault("model", told[stand_in])
    return told
