"""Maintenance windows: hours of some days of the week in which gateways may change their version. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

NS = 1_000_000_000
ZONE = "Asia/Shanghai"
TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From ``begin`` to ``end`` (HH:MM) in the sites' time zone, on the days on which it begins: 1 Monday to 7 Sunday.

    An end before its begin is on the next day.
    """

    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    begin: str
    end: str
    zone: str = ZONE


def read_minute(text: str) -> int | None:
    """Return the minute of the day that HH:MM names, None if it names none."""
    found = TIME.fullmatch(text)
    return int(found[1]) * 60 + int(found[2]) if found else None


def find_end(window: Window, now_ns: int) -> int | None:
    """Return when the window ends that is open now, UTC in ns since 1970; None while it is shut."""
    zone = ZoneInfo(window.zone)
    now = datetime.fromtimestamp(now_ns // NS, UTC)
    today = now.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):  # yesterday's may reach into today
        if day.isoweekday() not in window.weekdays:
            continue
        begin = datetime.combine(day, time.fromisoformat(window.begin), zone)
        end = datetime.combine(day, time.fromisoformat(window.end), zone)
        if end <= begin:
            end += timedelta(days=1)
        if begin.astimezone(UTC) <= now < end.astimezone(UTC):
            return int(end.timestamp()) * NS
    return None
