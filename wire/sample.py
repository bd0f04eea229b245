"""Samples on the wire: a value, how good it is, and when it was read."""

from __future__ import annotations

from enum import IntEnum

import msgspec

Value = float | int | bool | str | None
"""What a tag can hold. None is "no value": the quality says why."""


class Quality(IntEnum):
    """How far a value can be trusted, and why not further.

    One octet. The high bits give the class (good < 0x40 <= uncertain < 0x80 <= bad), the low bits
    the reason, so that a reader which does not know a newer reason still knows the class.
    """

    GOOD = 0x00
    UNCERTAIN = 0x40
    UNCERTAIN_RANGE = 0x41
    UNCERTAIN_STUCK = 0x42
    UNCERTAIN_STEP = 0x43
    UNCERTAIN_STATUS = 0x44
    UNCERTAIN_INCONSISTENT = 0x45
    UNCERTAIN_PARTIAL = 0x46
    UNCERTAIN_INPUT = 0x47
    BAD = 0x80
    BAD_TIMEOUT = 0x81
    BAD_LINK = 0x82
    BAD_FRAME = 0x83
    BAD_DEVICE = 0x84
    BAD_SENSOR = 0x85
    BAD_RANGE = 0x86
    BAD_CONFIG = 0x87
    BAD_INPUT = 0x88


def is_good(quality: int) -> bool:
    """Tell whether the value may be acted on without reserve."""
    return quality < Quality.UNCERTAIN


def is_bad(quality: int) -> bool:
    """Tell whether there is no usable value."""
    return quality >= Quality.BAD


def quality_class(quality: int) -> str:
    """Name the class of a quality octet: ``good``, ``uncertain`` or ``bad``."""
    if quality < Quality.UNCERTAIN:
        return "good"
    return "uncertain" if quality < Quality.BAD else "bad"


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The newest value of some tags, sent from memory at QoS 0: shed first, never stored, never counted.

    ``tags``: {tag name: (value, quality, wall time in ns since 1970 UTC or None)}.
    """

    tags: dict[str, tuple[Value, int, int | None]]
