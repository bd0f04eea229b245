"""The pages of the alarms: all that do not stand normal, and one with everything that can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from edge.local.drawing import draw_mark, draw_range
from edge.local.markup import Child, Markup, tag
from edge.local.order import Arranged, actions_of
from edge.local.shell import Look, make_facts, make_form, make_page, make_pager, make_panel
from edge.local.site import Limit, Reading
from edge.local.words import say_quality, say_time, say_value
from edge.operating import AlarmView
from wire.alarm import SILENCED, Standing, state_of
from wire.twin import TagInfo

ROWS = 50
"""Alarms on a page: a flood of a thousand stays a page that a phone can hold."""
MINUTES = 30
NEEDS_REASON = ("shelve", "remove")
"""What silences an alarm is done for a reason."""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What the alarms are shown with."""

    arranged: Arranged
    tags: Mapping[str, TagInfo]
    limits: Mapping[str, Sequence[Limit]]
    now_ns: int | None


def make_alarms(look: Look, scene: Scene, page: int) -> str:
    """Make one page of the list. ``page`` counts from 1; beyond the last one it is the last one."""
    t = look.texts
    every = scene.arranged.all
    pages = max(1, -(-len(every) // ROWS))
    page = min(max(1, page), pages)
    first = (page - 1) * ROWS
    content = _groups(look, scene, first, first + ROWS) if every else _nothing(look)
    count = t("alarm-count", total=len(every)) + " · " + t("unacknowledged-count", count=look.urgent)
    live = tag(
        "div",
        tag("p", count, class_="count"),
        content,
        make_pager(look, "/", page, pages),
        id="alarms",
        data_live=True,
    )
    return make_page(look, "alarms", t("page-alarms"), live)


def _nothing(look: Look) -> Markup:
    return tag("p", tag("b", look.texts("no-alarms")), look.texts("no-alarms-why"), class_="empty")


def _groups(look: Look, scene: Scene, first: int, end: int) -> list[Child]:
    """The groups of the order, cut to the page."""
    t = look.texts
    arranged = scene.arranged
    why = tag("p", t("first-out-why"), class_="why")
    groups: list[tuple[str, Child, Sequence[AlarmView], bool]] = [
        (t("first-out", count=len(arranged.first_out)), why, arranged.first_out, True),
        (t("by-priority"), None, arranged.called, False),
        (t("set-aside"), None, arranged.set_aside, False),
    ]
    shown: list[Child] = []
    start = 0
    for title, said, alarms, is_counted in groups:
        cut = alarms[max(0, first - start) : max(0, end - start)]
        if cut:
            rows = [_row(look, scene, alarm, place if is_counted else 0) for place, alarm in enumerate(cut, 1)]
            shown.append(make_panel(title, said, tag("ol", rows, class_="alarms")))
        start += len(alarms)
    return shown


def _row(look: Look, scene: Scene, alarm: AlarmView, place: int) -> Markup:
    t = look.texts
    state = state_of(alarm.standing)
    is_aside = bool(alarm.standing & SILENCED)
    is_new = Standing.UNACKNOWLEDGED in alarm.standing and not is_aside
    return tag(
        "li",
        draw_mark(t, alarm.priority),
        tag(
            "a",
            tag("b", title_of(look, scene, alarm)),
            tag("span", t.word("state", state), _until(look, scene, alarm), class_="state"),
            href=address_of(alarm),
            class_="what",
        ),
        tag("span", _value(look, scene, alarm), class_="value"),
        tag(
            "span",
            say_time(t, alarm.raised_ns, scene.now_ns),
            f" · {t('place-in-order', place=place)}" if place else None,
            tag("span", alarm.source, class_="source") if alarm.source else None,
            class_="where",
        ),
        _quick_form(look, alarm) if is_new else None,
        class_=f"p{alarm.priority}" + (" new" if is_new else " aside" if is_aside else ""),
        data_alarm=alarm.name,
    )


def _value(look: Look, scene: Scene, alarm: AlarmView) -> list[Child]:
    unit = unit_of(scene, alarm)
    limit = look.texts("unit-of-limit", limit=say_value(look.texts, alarm.limit, unit))
    value = tag("b", say_value(look.texts, alarm.value, unit))
    return [value, tag("small", limit) if alarm.limit is not None else None]


def _until(look: Look, scene: Scene, alarm: AlarmView) -> str | None:
    if Standing.SHELVED not in alarm.standing:
        return None
    if Standing.ONE_SHOT in alarm.standing:
        return f" {look.texts('until-clears')}"
    return f" {look.texts('until', time=say_time(look.texts, alarm.until_ns, scene.now_ns))}"


def _quick_form(look: Look, alarm: AlarmView) -> Markup:
    label = look.texts("action-acknowledge")
    button = tag("button", label, class_="button main", id=f"ack-{alarm.name}", aria_label=f"{label} {alarm.name}")
    return make_form(look, "/operate", *_hidden(look, alarm, "acknowledge"), button)


def _hidden(look: Look, alarm: AlarmView, action: str) -> list[Markup]:
    fields = {"action": action, "alarm": alarm.name, "occurrence": str(alarm.occurrence), "next": look.here}
    return [tag("input", type="hidden", name=name, value=value) for name, value in fields.items()]


def address_of(alarm: AlarmView) -> str:
    """Return the address of an alarm's own page."""
    return f"/alarm?name={quote(alarm.name, safe='')}"


def title_of(look: Look, scene: Scene, alarm: AlarmView) -> str:
    """Name an alarm for people: what its tag measures, and its own title or its kind. Many may have one title."""
    info = scene.tags.get(alarm.tag)
    kind = alarm.title or look.texts.word("level", alarm.level)
    if info is None:
        return alarm.title or f"{alarm.tag or alarm.name} {kind}"
    return f"{info.device} {info.title or info.name} {kind}"


def unit_of(scene: Scene, alarm: AlarmView) -> str:
    """Return the unit of an alarm's value and limit, empty if it has none."""
    info = scene.tags.get(alarm.tag)
    return info.unit if info else ""


def make_alarm(look: Look, scene: Scene, alarm: AlarmView, reading: Reading | None) -> str:
    """Make the page of one alarm. ``reading`` is the newest of its tag."""
    t = look.texts
    info = scene.tags.get(alarm.tag)
    live = tag(
        "section",
        tag(
            "div",
            draw_mark(t, alarm.priority),
            tag("b", t.word("state", state_of(alarm.standing)), _until(look, scene, alarm)),
            class_="stands",
        ),
        draw_range(t, info, scene.limits.get(info.name, ()), reading.value) if info and reading else None,
        _facts(look, scene, alarm, reading),
        class_=f"panel p{alarm.priority}",
        id="alarm",
        data_live=True,
    )
    forms = [_action(look, alarm, action) for action in actions_of(alarm)]
    return make_page(
        look, "alarms", title_of(look, scene, alarm), live, forms, tag("a", t("back"), class_="button", href="/")
    )


def _facts(look: Look, scene: Scene, alarm: AlarmView, reading: Reading | None) -> Markup:
    t = look.texts
    unit = unit_of(scene, alarm)
    now = f"{say_value(t, reading.value, unit)} · {say_quality(t, reading.quality)}" if reading else None
    return make_facts(
        {
            t("fact-value"): say_value(t, alarm.value, unit),
            t("fact-now"): now,
            t("fact-limit"): say_value(t, alarm.limit, unit),
            t("fact-source"): alarm.source or t("none-given"),
            t("fact-raised"): say_time(t, alarm.raised_ns, scene.now_ns),
            t("fact-kind"): t.word("level", alarm.level),
            t("fact-outputs"): ", ".join(alarm.outputs) or t("none"),
            t("fact-name"): alarm.name,
        }
    )


def _action(look: Look, alarm: AlarmView, action: str) -> Markup:
    t = look.texts
    fields: list[Child] = []
    if action in NEEDS_REASON:
        fields.append(tag("h2", t(f"action-{action}")))
        fields.append(tag("p", t(f"about-{action}"), class_="why"))
    if action == "shelve":
        fields.append(_minutes_field(look, alarm))
    if action in NEEDS_REASON:
        name = f"{action}-reason"
        box = tag("input", id=name, name="comment", required=True, maxlength=500, autocomplete="off")
        fields.append(tag("p", tag("label", t("reason"), for_=name), box, class_="field"))
    is_main = action in ("acknowledge", "restore", "reset", "unshelve")
    button = tag("button", t(f"action-{action}"), class_="button main" if is_main else "button", id=f"do-{action}")
    return make_form(look, "/operate", *_hidden(look, alarm, action), fields, button, class_="panel action")


def _minutes_field(look: Look, alarm: AlarmView) -> Markup:
    most = int(alarm.shelve_most_h * 60)
    box = tag(
        "input",
        id="minutes",
        name="minutes",
        type="number",
        inputmode="numeric",
        min=0,
        max=most,
        step=1,
        value=min(MINUTES, most),
        required=True,
    )
    return tag("p", tag("label", look.texts("minutes", most=most), for_="minutes"), box, class_="field")
