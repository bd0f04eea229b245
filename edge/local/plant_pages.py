"""The pages of the values, and of the buses, instruments and outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from edge.local.drawing import draw_range
from edge.local.markup import Child, Markup, tag
from edge.local.shell import Look, make_page, make_pager, make_panel
from edge.local.site import Limit, Reading
from edge.local.words import say_duration, say_quality, say_time, say_value
from wire.health import BusHealth, GroupHealth, Health, OutputHealth
from wire.sample import quality_class
from wire.twin import DeviceInfo, TagInfo

ROWS = 100
"""Tags on a page."""


class Shown(msgspec.Struct, frozen=True):
    """The tags of one page of so many, and how many tags there are in all. ``limits`` are those of all tags."""

    tags: Sequence[TagInfo]
    limits: Mapping[str, Sequence[Limit]]
    page: int
    pages: int
    total: int


def choose(tags: Iterable[TagInfo], limits: Mapping[str, Sequence[Limit]], device: str, page: int) -> Shown:
    """Choose the tags of a page, of one device or, where that is empty, of all."""
    chosen = [info for info in tags if not device or info.device == device]
    pages = max(1, -(-len(chosen) // ROWS))
    page = min(max(1, page), pages)
    return Shown(chosen[(page - 1) * ROWS : page * ROWS], limits, page, pages, len(chosen))


def make_values(
    look: Look,
    shown: Shown,
    readings: Mapping[str, Reading],
    devices: Sequence[DeviceInfo],
    device: str,
) -> str:
    """Make a page of values."""
    t = look.texts
    grouped: dict[str, list[TagInfo]] = {}
    for info in shown.tags:
        grouped.setdefault(info.device, []).append(info)
    titles = {one.name: one.title for one in devices}
    panels: list[Child] = [
        make_panel(
            f"{name} {titles.get(name, '')}".strip(),
            tag(
                "ul",
                [_tag_row(look, info, shown.limits.get(info.name, ()), readings.get(info.name)) for info in infos],
                class_="tags",
            ),
        )
        for name, infos in grouped.items()
    ]
    nothing = tag("p", tag("b", t("no-tags")), t("no-tags-why"), class_="empty")
    live = tag(
        "div",
        tag("p", t("tag-count", total=shown.total), class_="count"),
        panels or nothing,
        make_pager(look, "/values", shown.page, shown.pages, device=device),
        id="values",
        data_live=True,
    )
    return make_page(look, "values", t("page-values"), _device_choice(look, devices, device), live)


def _device_choice(look: Look, devices: Sequence[DeviceInfo], chosen: str) -> Markup | None:
    if len(devices) < 2:
        return None
    t = look.texts
    options = [tag("option", t("all-devices"), value="")]
    for device in devices:
        name = f"{device.name} {device.title}".strip()
        options.append(tag("option", name, value=device.name, selected=device.name == chosen))
    return tag(
        "form",
        tag("label", t("device"), for_="device", class_="hush"),
        tag("select", options, id="device", name="device"),
        tag("button", t("show"), class_="button"),
        method="get",
        action="/values",
        class_="filter",
    )


def _tag_row(look: Look, info: TagInfo, limits: Sequence[Limit], reading: Reading | None) -> Markup:
    t = look.texts
    title = tag("b", info.title or info.name)
    if reading is None:
        return tag("li", title, tag("span", t("never-read"), class_="word uncertain"), class_="tag")
    kind = quality_class(reading.quality)
    return tag(
        "li",
        title,
        tag("span", say_value(t, reading.value, info.unit), class_=f"value {kind}"),
        draw_range(t, info, limits, reading.value if kind != "bad" else None),
        tag("span", say_quality(t, reading.quality), class_=f"word {kind}"),
        tag("span", say_duration(t, "age", reading.age_s), class_="age"),
        class_="tag",
    )


def make_equipment(
    look: Look,
    health: Health,
    devices: Sequence[DeviceInfo],
    tags: Iterable[TagInfo],
    bad: Mapping[str, int],
    now_ns: int | None,
) -> str:
    """Make the page of what is connected. ``bad`` counts the bad values of each device that has any."""
    t = look.texts
    buses = [_bus_row(look, name, bus) for name, bus in health.buses.items()]
    outputs = [_output_row(look, name, output, now_ns) for name, output in health.outputs.items()]
    counts = Counter(info.device for info in tags)
    scans = _scans(health.groups)
    instruments = [_device_row(look, one, counts[one.name], bad.get(one.name, 0), scans) for one in devices]
    live = tag(
        "div",
        make_panel(t("outputs"), tag("ul", outputs, class_="rows") if outputs else tag("p", t("no-outputs"))),
        make_panel(t("buses"), tag("ul", buses, class_="rows") if buses else tag("p", t("no-buses"))),
        make_panel(t("instruments"), tag("ul", instruments, class_="rows")) if instruments else None,
        id="equipment",
        data_live=True,
    )
    return make_page(look, "equipment", t("page-equipment"), live)


def _scans(groups: Mapping[str, GroupHealth]) -> dict[str, GroupHealth]:
    """Add up the scans of each device: the part of a group's name before the first dot."""
    summed: dict[str, GroupHealth] = {}
    for name, one in groups.items():
        device = name.partition(".")[0]
        so_far = summed.get(device, GroupHealth())
        summed[device] = GroupHealth(
            due=so_far.due + one.due,
            good=so_far.good + one.good,
            bad=so_far.bad + one.bad,
            missed=so_far.missed + one.missed,
        )
    return summed


def _line(name: Child, word: str, *, is_amiss: bool, below: Child, error: str = "") -> Markup:
    return tag(
        "li",
        tag("b", name),
        tag("span", word, class_="word bad" if is_amiss else "word"),
        tag("span", below, class_="below"),
        tag("span", error, class_="error") if error else None,
    )


def _bus_row(look: Look, name: str, bus: BusHealth) -> Markup:
    t = look.texts
    key = "devices-bad" if bus.devices_bad else "devices-well"
    below = (
        f"{bus.kind} · {t(key, count=bus.devices, bad=bus.devices_bad)} · {t('busy', percent=round(bus.busy * 100))}"
    )
    is_amiss = not bus.up or bool(bus.devices_bad)
    return _line(name, t("bus-up" if bus.up else "bus-down"), is_amiss=is_amiss, below=below, error=bus.error)


def _device_row(look: Look, device: DeviceInfo, count: int, bad: int, scans: Mapping[str, GroupHealth]) -> Markup:
    t = look.texts
    done = scans.get(device.name, GroupHealth())
    below = f"{t('on-bus', bus=device.bus)} · {t('scans', good=done.good, bad=done.bad, missed=done.missed)}"
    word = t("device-bad", bad=bad, count=count) if bad else t("device-well")
    return _line(f"{device.name} {device.title}".strip(), word, is_amiss=bad > 0, below=below)


def _output_row(look: Look, name: str, output: OutputHealth, now_ns: int | None) -> Markup:
    t = look.texts
    since = t("since", time=say_time(t, output.since_ns, now_ns)) if output.since_ns is not None else ""
    is_amiss = bool(output.error) or output.state in ("unknown", "inhibited")
    return _line(name, t.word("output", output.state), is_amiss=is_amiss, below=since, error=output.error)
