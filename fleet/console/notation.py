"""How values, counts, times and durations are written. live.js writes ages and durations in the same way."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from flask_babel import format_datetime, format_decimal, gettext

from fleet.overview.figures import Label
from fleet.waveforms.service import Chart

NOTHING = "—"
ZONE = "Asia/Shanghai"
"""Pages show and take local times of this zone."""
NS = 1_000_000_000
LATEST_NS = 2**63 - 1
PLAIN_BELOW = 1e15
"""Larger numbers are written with an exponent: hundreds of digits tell nobody anything."""


def count_decimals(low: float | None, high: float | None) -> int | None:
    """How many decimals tell about a thousandth of the range apart; None where there is no range."""
    if low is None or high is None or not 0 < high - low < math.inf:
        return None
    return min(max(3 - math.floor(math.log10(high - low) + 0.35), 0), 6)


def write_value(value: object, label: Label) -> str:
    """A value as its instrument's range deserves, without its unit."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(gettext("on") if value else gettext("off"))
    if not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return NOTHING
    if abs(value) >= PLAIN_BELOW:
        return f"{value:.6g}"
    decimals = count_decimals(label.low, label.high)
    if decimals is None:
        decimals = 0 if float(value).is_integer() else max(3 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{min(decimals, 6)}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def write_figure(value: object, label: Label) -> str:
    """A value with its unit."""
    text = write_value(value, label)
    return f"{text} {label.unit}".rstrip() if text != NOTHING else text


def write_limit(value: float | None, label: Label) -> str:
    """A limit with its unit, without zeros that say nothing."""
    if value is None:
        return NOTHING
    return f"{value:,.6g} {label.unit}".rstrip()


def write_count(number: int | None) -> str:
    """A count with its thousands set apart."""
    return NOTHING if number is None else f"{number:,}"


def write_percent(share: float | None) -> str:
    """A share to a tenth of a per cent; never 100 % while something is missing."""
    if share is None:
        return NOTHING
    return f"{'100' if share >= 1 else format(min(share * 100, 99.9), '.1f')} %"


def write_percent_whole(share: float) -> str:
    """A share in whole per cent."""
    return f"{share * 100:.0f} %"


def write_seconds(seconds: float | None) -> str:
    """A lag: ms, s with a tenth, then the two largest units."""
    if seconds is None:
        return NOTHING
    if seconds <= 0:
        return "0 s"
    if seconds < 0.95:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 3600:
        minute_word, second_word = gettext("min"), gettext("s")
        return f"{whole // 60} {minute_word} {whole % 60:02d} {second_word}"
    return write_duration(whole * NS)


def write_duration(ns: int) -> str:
    """How long something has lasted: 02:14 within the hour, then the two largest units."""
    seconds = max(ns // NS, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if hours < 1:
        return f"{minutes:02d}:{seconds % 60:02d}"
    day_word, hour_word, minute_word = gettext("d"), gettext("h"), gettext("min")
    if days < 1:
        return f"{hours} {hour_word} {minutes % 60:02d} {minute_word}"
    return f"{days} {day_word} {hours % 24} {hour_word}"


def write_age(ns: int) -> str:
    """How old something is, in its largest unit."""
    seconds = max(ns / NS, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    for length, most, word in ((60, 3600, gettext("min")), (3600, 86_400, gettext("h"))):
        if seconds < most:
            return f"{seconds // length:.0f} {word}"
    day_word = gettext("d")
    return f"{seconds // 86_400:.0f} {day_word}"


def write_size(octets: int) -> str:
    """A size in the unit that keeps it short."""
    size = float(octets)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{format_decimal(size, '0' if unit == 'B' else '0.0')} {unit}"
        size /= 1000
    return NOTHING


def write_time(ns: int) -> str:
    """A time in the console's zone, to the second."""
    return str(format_datetime(to_datetime(ns), "yyyy-MM-dd HH:mm:ss"))


def write_short_time(ns: int) -> str:
    """A time within the last days."""
    return str(format_datetime(to_datetime(ns), "MM-dd HH:mm:ss"))


WAVE_TIMES = ((1800, "HH:mm:ss"), (86_401, "HH:mm"), (300_000, "MM-dd HH:mm"))
"""How times are written under a chart that is shorter than so many seconds."""


def write_wave_time(ns: int, chart: Chart) -> str:
    """A time under a chart, as short as the chart's length allows."""
    span_s = (chart.end_ns - chart.start_ns) / NS
    pattern = (
        "HH:mm:ss" if span_s < 1800 else "HH:mm" if span_s <= 86_400 else "MM-dd HH:mm" if span_s < 3e5 else "MM-dd"
    )
    return str(format_datetime(to_datetime(ns), pattern))


def to_datetime(ns: int) -> datetime:
    """UTC of a time in ns since 1970; what a gateway claims of times that we cannot write is the nearest we can."""
    return datetime.fromtimestamp(min(max(ns, 0), LATEST_NS) / NS, UTC)


def write_local(ns: int) -> str:
    """A time in the console's zone as a field of a form holds it, to the second."""
    return to_datetime(ns).astimezone(ZoneInfo(ZONE)).strftime("%Y-%m-%dT%H:%M:%S")


def read_local(text: str) -> int | None:
    """Read such a field: UTC in ns, None for what is no time."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=ZoneInfo(ZONE)) if moment.tzinfo is None else moment
        return round(moment.timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError):
        return None
