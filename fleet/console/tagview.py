"""A tag as a row or a panel shows it: its reading put into words and geometry."""

from __future__ import annotations

import hashlib

import msgspec
from flask import url_for

from fleet.alarms import own
from fleet.console.drawing import Bar, Trend, draw_bar, draw_trend, find_scale
from fleet.console.notation import NS, write_age, write_figure, write_limit, write_value
from fleet.console.words import GATEWAY, LEVELS, SPOOL, find_word, name_quality
from fleet.overview.figures import Alarm, Change, Label, Reading, TagRow
from wire.sample import quality_class

HOUR_NS = 3600 * NS
OWN_TAGS = {"spool": SPOOL, own.TAG: GATEWAY}
"""What stands in place of a tag in alarms of the gateway's spool and of the fleet, and how it is called."""
OWN_PAGES = {"losing-data": "console.losses", own.UNREADABLE.level: "console.quarantine"}
FLEET_PAGES = {own.BEHIND.level: "console.relay", own.ROLLOUT.level: "console.rollouts"}
"""Where such alarms are told of, by their level."""


class TagView(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn of a tag. ``priority`` is 0 outside an alarm; ``text`` says the bar in words."""

    value: str
    quality: str
    quality_class: str
    bar: Bar | None
    text: str
    priority: int
    at_ms: int | None
    age: str
    trend: Trend | None


class TagChange(msgspec.Struct, frozen=True, kw_only=True):
    """What an event stream sends of a tag: exactly what live.js puts on the page."""

    value: str
    quality: str
    quality_class: str
    at: float | None
    at_ms: int | None
    text: str


def view_row(row: TagRow, now_ns: int) -> TagView:
    """Put a tag into words and geometry."""
    change = view_change(row.label, row.reading)
    scale = find_scale(row.label.low, row.label.high, row.label.rules)
    at_ns = row.reading.time_ns if row.reading else None
    return TagView(
        value=change.value,
        quality=change.quality,
        quality_class=change.quality_class,
        bar=draw_bar(scale, row.label.rules, row.reading.value if row.reading else None) if scale else None,
        text=change.text,
        priority=row.alarm.priority if row.alarm else 0,
        at_ms=change.at_ms,
        age=write_age(now_ns - at_ns) if at_ns is not None else "—",
        trend=draw_trend(row.trend, row.label, now_ns - HOUR_NS, now_ns),
    )


def view_change(label: Label, reading: Reading | None) -> TagChange:
    """Put a newer reading of a tag into words and geometry."""
    if reading is None:
        return TagChange(value="—", quality="—", quality_class="none", at=None, at_ms=None, text="—")
    scale = find_scale(label.low, label.high, label.rules)
    bar = draw_bar(scale, label.rules, reading.value) if scale else None
    return TagChange(
        value=write_value(reading.value, label),
        quality=name_quality(reading.quality),
        quality_class=quality_class(reading.quality),
        at=bar.at if bar else None,
        at_ms=reading.time_ns // 1_000_000 if reading.time_ns is not None else None,
        text=describe_bar(label, reading.value),
    )


def describe_bar(label: Label, value: object) -> str:
    """The bar in words, for those who cannot see it."""
    parts = [write_figure(value, label)]
    if label.low is not None and label.high is not None:
        parts.append(f"{label.low:g}–{label.high:g} {label.unit}".rstrip())
    parts += [f"{find_word(LEVELS, rule.level)} {write_limit(rule.limit, label)}" for rule in label.rules]
    return " · ".join(parts)


def name_tag(label: Label) -> str:
    """A tag by its device and title, without saying anything twice."""
    title, device = label.title, label.device
    if label.tag in OWN_TAGS:
        return title or str(OWN_TAGS[label.tag])
    if not title:
        return label.tag
    if not device or title.startswith(device):
        return title
    return device if device.endswith(title) else f"{device} {title}"


def name_kind(label: Label, alarm: str, level: str) -> str:
    """What an alarm is called beside its tag."""
    return label.kinds.get(alarm) or str(find_word(LEVELS, level))


def name_row(alarm: Alarm) -> str:
    """Name the row of one occurrence of an alarm: what is picked on it can never become another's."""
    text = f"{alarm.label.gateway} {alarm.occurrence} {alarm.name}"
    return f"alarm-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def link_alarm(alarm: Alarm | Change) -> str:
    """Where to look when an alarm is up: the tag's page, or the page that tells of what is no tag."""
    if alarm.label.gateway == own.FLEET:
        return url_for(FLEET_PAGES.get(alarm.level, "console.alarms"))
    page = OWN_PAGES.get(alarm.level, "console.gateway") if alarm.label.tag in OWN_TAGS else "console.tag"
    tag = alarm.label.tag if page == "console.tag" else None
    return url_for(page, name=alarm.label.gateway, tag=tag)


def shorten_title(label: Label) -> str:
    """The title of a tag where its device stands beside it."""
    return label.title.removeprefix(label.device).strip() or label.title


def show_alarm_value(alarm: Alarm) -> object:
    """The value to show of an active alarm: the newest, else the one that raised it."""
    if alarm.reading is not None and alarm.reading.value is not None:
        return alarm.reading.value
    return alarm.value


def draw_alarm(alarm: Alarm) -> Bar | None:
    """The bar of an active alarm."""
    scale = find_scale(alarm.label.low, alarm.label.high, alarm.label.rules)
    return draw_bar(scale, alarm.label.rules, show_alarm_value(alarm)) if scale else None


def draw_alarm_trend(alarm: Alarm, now_ns: int) -> Trend | None:
    """The last hour of the tag of an alarm."""
    return draw_trend(alarm.trend, alarm.label, now_ns - HOUR_NS, now_ns)


def describe_alarm(alarm: Alarm) -> str:
    """The bar of an active alarm in words."""
    return describe_bar(alarm.label, show_alarm_value(alarm))
