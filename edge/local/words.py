"""Values, ages, sizes and times as words of the page."""

from __future__ import annotations

from datetime import UTC, datetime

from edge.local.texts import Texts
from wire.sample import Value, quality_class

NS = 1_000_000_000
STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def say_value(texts: Texts, value: Value, unit: str = "") -> str:
    """Show a value with its unit; a dash is no value."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return texts("true" if value else "false")
    number = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"{number}\u00a0{unit}".rstrip()


def say_quality(texts: Texts, quality: int) -> str:
    """Say how good a value is and why not better; a reason that is not known is left out."""
    reason = texts.word("quality", str(quality))
    return texts(f"quality-{quality_class(quality)}") if reason == str(quality) else reason


def say_duration(texts: Texts, family: str, seconds: float) -> str:
    """Show a time in its largest unit; ``family`` is ``age`` or ``for``."""
    size, unit = next((step for step in STEPS if seconds >= step[0]), STEPS[-1])
    return texts(f"{family}-{unit}", n=max(0, int(seconds // size)))


def say_time(texts: Texts, wall_ns: int | None, now_ns: int | None) -> str:
    """Show an instant in the gateway's time zone, without the date if it is today's."""
    if wall_ns is None:
        return texts("time-unknown")
    at = datetime.fromtimestamp(wall_ns / NS, UTC).astimezone()
    is_today = now_ns is not None and datetime.fromtimestamp(now_ns / NS, UTC).astimezone().date() == at.date()
    return f"{at:%H:%M:%S}" if is_today else f"{at:%m-%d %H:%M:%S}"


def say_zone() -> str:
    """Name the gateway's time zone by its distance from UTC."""
    offset = datetime.now(UTC).astimezone().strftime("%z")
    return f"UTC{offset[:3]}:{offset[3:]}"


def say_size(octets: float) -> str:
    """Show octets in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if abs(octets) < 1000:
            return f"{octets:.3g} {unit}"
        octets /= 1000
    return f"{octets:.4g} GB"
