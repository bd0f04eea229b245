"""What a gateway tells a technician of itself while it is being provisioned. Pure: it looks at nothing by itself.

docs/operate/commissioning.md lists the names of failures, and what to do about each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from wire.checklist import CHECKS_MOST, TEXT_MOST, Check
from wire.health import BusHealth, GroupHealth, OutputHealth
from wire.sample import Quality, Value, is_good
from wire.twin import DeviceInfo, TagInfo

CLOCK_FAULTS: Mapping[str, str] = {"unset": "clock-unset", "told": "clock-told"}
"""By the quality of `wire.conversation.Clock`: one that no source has set. Certificates and alarms do without it."""
DEVICE_FAULTS: Mapping[int, str] = {
    Quality.BAD_FRAME: "device-garbled",
    Quality.BAD_DEVICE: "device-refuses",
    Quality.BAD_SENSOR: "device-sensor",
    Quality.BAD_RANGE: "device-range",
    Quality.BAD_CONFIG: "device-configuration",
}
"""By the quality of what was read; anything else means that nothing answers."""
VALUES_SHOWN = 3

Reading = tuple[Value, int]
"""The newest of a tag: value and quality."""
Readings = Mapping[str, tuple[Reading, str]]
"""{title of a tag: (its newest, its unit)}."""


def check_clock(quality: str) -> Check:
    """Tell whether anything but the fleet keeps this gateway's time."""
    fault = CLOCK_FAULTS.get(quality, "")
    return Check(kind="clock", state="failed" if fault else "done", fault=fault, detail=quality)


def check_step(kind: str, took_ms: float | None) -> Check:
    """Tell of a step on the way to the fleet that has worked: how long it took, if that was measured."""
    return Check(kind=kind, state="done", detail="" if took_ms is None else f"{took_ms:.0f} ms")


def check_bus(name: str, bus: BusHealth) -> Check:
    """Tell whether a line is open."""
    if bus.up:
        return Check(kind="bus", subject=name, state="done", detail=bus.kind)
    if not bus.error:
        return Check(kind="bus", subject=name, state="waiting")
    return Check(kind="bus", subject=name, state="failed", fault="bus-closed", detail=_short(bus.error))


def check_device(device: DeviceInfo, bus: BusHealth | None, groups: Sequence[GroupHealth], readings: Readings) -> Check:
    """Tell whether an instrument has given a good sample, and which."""
    begun = Check(kind="device", subject=device.name, title=_short(device.title), state="waiting")
    if any(group.good for group in groups):
        shown = [_write(title, *found) for title, found in readings.items() if is_good(found[0][1])]
        return replace(begun, state="done", detail=_short("; ".join(shown[:VALUES_SHOWN])))
    if not any(group.bad or group.missed for group in groups):
        return begun
    if bus is not None and not bus.up:
        return replace(begun, state="failed", fault="device-line", detail=_short(device.bus))
    qualities = [quality for (_, quality), _ in readings.values()]
    fault = next((DEVICE_FAULTS[quality] for quality in qualities if quality in DEVICE_FAULTS), "device-silent")
    return replace(begun, state="failed", fault=fault, detail=_short(bus.error if bus else ""))


def check_output(name: str, title: str, output: OutputHealth) -> Check:
    """Tell whether an output can be switched, and so tested."""
    failed = bool(output.error) and output.state != "locked"
    return Check(
        kind="output",
        subject=name,
        title=_short(title),
        state="failed" if failed else "waiting" if output.state == "unknown" else "done",
        fault="output-fault" if failed else "",
        detail=_short(output.error or output.state),
    )


def compose(
    clock: str,
    buses: Mapping[str, BusHealth],
    groups: Mapping[str, GroupHealth],
    devices: Sequence[DeviceInfo],
    outputs: Mapping[str, tuple[str, OutputHealth]],
    find_readings: Callable[[str], Readings],
    before: Sequence[Check] = (),
) -> tuple[Check, ...]:
    """Put together all that this gateway knows. ``groups`` is by ``device.group``, ``outputs`` {name: (title, health)}.

    ``find_readings`` gives the newest of a device's tags. ``before`` is what was put together last: the first good
    sample of an instrument is taken from there, so that ten thousand tags are not looked at again and again.
    """
    of_device: dict[str, list[GroupHealth]] = {}
    for name, group in groups.items():
        of_device.setdefault(name.rpartition(".")[0], []).append(group)
    checks = [check_clock(clock)]
    checks += [check_bus(name, bus) for name, bus in buses.items()]
    done = {check.subject: check for check in before if check.kind == "device" and check.state == "done"}
    for one in devices:
        counted = of_device.get(one.name, [])
        if one.name in done and any(group.good for group in counted):
            checks.append(done[one.name])
        else:
            checks.append(check_device(one, buses.get(one.bus), counted, find_readings(one.name)))
    checks += [check_output(name, title, output) for name, (title, output) in outputs.items()]
    return tuple(checks[:CHECKS_MOST])


def name_tag(info: TagInfo) -> str:
    """How a tag is called in a line of the checklist."""
    return info.title or info.name


def _write(title: str, reading: Reading, unit: str) -> str:
    value = f"{reading[0]:g}" if isinstance(reading[0], bool | int | float) else str(reading[0])
    return f"{title} {value} {unit}".strip()


def _short(text: str) -> str:
    return text[:TEXT_MOST]
