"""Values and qualities as words for a technician."""

from __future__ import annotations

import msgspec

from wire.sample import Quality, Value, quality_class

REASONS = {
    Quality.UNCERTAIN_RANGE: "near the end of its range",
    Quality.UNCERTAIN_STUCK: "does not move",
    Quality.UNCERTAIN_STEP: "jumped",
    Quality.UNCERTAIN_STATUS: "its status says so",
    Quality.BAD_TIMEOUT: "no answer",
    Quality.BAD_LINK: "line down",
    Quality.BAD_FRAME: "garbled",
    Quality.BAD_DEVICE: "refused",
    Quality.BAD_SENSOR: "no sensor value",
    Quality.BAD_RANGE: "out of range",
    Quality.BAD_CONFIG: "wrong settings",
}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One tag as it was read: what ``--json`` prints of it."""

    tag: str
    title: str
    value: Value
    unit: str
    quality: str
    """good, uncertain or bad."""
    reason: str
    code: int
    """The quality's octet, as it goes to the fleet."""
    registers: str = ""
    """The registers as hex, for drivers that have any."""


def reason_of(quality: int) -> str:
    """Say why a value is not good; empty if it is, or if the quality says no more."""
    return next((words for known, words in REASONS.items() if known == quality), "")


def format_quality(quality: int) -> str:
    """Show a quality: ``good``, ``bad: no answer``."""
    reason = reason_of(quality)
    return f"{quality_class(quality)}: {reason}" if reason else quality_class(quality)


def format_value(value: Value, unit: str = "") -> str:
    """Show a value with its unit; a dash is no value."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    number = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{number} {unit}".rstrip()


def parse_value(text: str) -> Value:
    """Read a value as it is typed: true, on, 5, 0x1F, 3.5, or a word."""
    switch = {"true": True, "on": True, "false": False, "off": False}.get(text.lower())
    if switch is not None:
        return switch
    for read in (lambda: int(text, 0), lambda: float(text)):
        try:
            return read()
        except ValueError:
            continue
    return text
