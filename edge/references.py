"""Checks what can only be told when every table of a configuration is read: names that refer to others, and periods
and limits that must fit those of others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from drivers.errors import SettingsError
from edge.alarm_settings import OUTPUT_FAULT, AlarmRule
from edge.alarms.following import find_circle
from edge.draft import BusDraft, Draft, TagDraft
from edge.formulas import GUST_POLL_MOST_S, find_misfits
from edge.mistakes import suggest
from edge.output_settings import OutputEntry, Target
from edge.places import Place
from edge.settings import Check, DerivedEntry
from edge.stations.reading import check_stations

LEVEL_ORDER = ("low-low", "low", "high", "high-high")
PARTNERS = ("at_most", "at_least", "zero_with")
"""Keys of a check that name another tag of the device."""
STUCK_POLLS = 2
SILENT_POLLS = 2
"""One reading that comes a little late is no silence."""
WINDOW_POLLS = {"rate": 2, "total": 4}
"""Readings that an alarm's window must have room for: with fewer it is never known whole, and never clears."""
DERIVED_POLLS = 4
"""Readings that a window must have room for, to tell anything."""


def check_references(draft: Draft) -> None:
    """Check all references of a draft; what is wrong goes to its mistakes."""
    for place, output in draft.outputs.values():
        _check_target(place, output, draft)
        _check_key(place, output, draft)
    _check_shared(draft)
    check_stations(draft)
    for place, rule in draft.alarms.values():
        _check_alarm(place, rule, draft)
    _check_circles(draft)
    _check_limit_order(draft)
    for tag in draft.tags.values():
        if tag.check is not None:
            _check_partners(tag, tag.check, draft)
            _check_windows(tag, tag.check, draft)
        if tag.entry is not None:
            _check_derived(tag, tag.entry, draft)
        _check_report(tag, draft)
    for name, bus in draft.buses.items():
        _check_bus(name, bus, draft)


def _check_target(place: Place, output: OutputEntry, draft: Draft) -> None:
    if output.tag is None:
        return
    tag = draft.tags.get(output.tag)
    if tag is None:
        _report_missing(output.tag, (*place, "tag"), draft)
    elif tag.bus is None:
        draft.mistakes.add((*place, "tag"), f"'{output.tag}' is derived: it cannot be written", "use a modbus coil")
    elif not tag.bus.kind.writable:
        message = f"driver {tag.bus.kind.kind} cannot write '{output.tag}'"
        draft.mistakes.add((*place, "tag"), message, "use a modbus coil")


def _check_shared(draft: Draft) -> None:
    """Of two outputs that switch the same thing, one would switch off what an alarm holds on by the other."""
    first: dict[Target, str] = {}
    for place, output in draft.outputs.values():
        other = first.setdefault(output.target, output.name)
        if other != output.name:
            message = f"'{output.name}' switches the same as output '{other}': one would silence the other"
            draft.mistakes.add(place, message, f'remove it, and write outputs = ["{other}"] in its alarms')


def _check_key(place: Place, output: OutputEntry, draft: Draft) -> None:
    """A maintenance key must be asked: of one that speaks by itself nobody knows when its wire is cut."""
    if output.inhibit is None:
        return
    tag = draft.tags.get(output.inhibit)
    if tag is None:
        _report_missing(output.inhibit, (*place, "inhibit"), draft)
    elif output.inhibit == output.tag:
        draft.mistakes.add((*place, "inhibit"), "an output is no maintenance key of its own", "name another tag")
    elif _poll_of(tag, draft) is None and tag.info.device not in draft.broken:
        message = f"'{output.inhibit}' speaks by itself: its silence would keep the output off"
        draft.mistakes.add((*place, "inhibit"), message, "name a tag that is read every `poll_s`")


def _report_missing(tag: str, place: Place, draft: Draft) -> None:
    if tag.partition(".")[0] not in draft.broken:
        draft.mistakes.add(place, f"there is no tag '{tag}'", suggest(tag, draft.tags))


def _check_alarm(place: Place, rule: AlarmRule, draft: Draft) -> None:
    _check_names(place, rule, draft)
    for key, tag in (("tag", rule.tag), ("setpoint", rule.setpoint)):
        if isinstance(tag, str) and tag and tag not in draft.tags:
            _report_missing(tag, (*place, key), draft)
    found = draft.tags.get(rule.tag)
    if found is not None and rule.level in LEVEL_ORDER and rule.limit is not None:
        _check_limit(place, rule.limit, found, draft)
    if found is not None:
        _check_times(place, rule, found, draft)


def _check_names(place: Place, rule: AlarmRule, draft: Draft) -> None:
    """The outputs and the alarms that a rule names are there."""
    outputs = [("outputs", name) for name in rule.outputs]
    if rule.level == OUTPUT_FAULT:
        outputs.append(("name", rule.label))
    for key, name in outputs:
        if name not in draft.outputs:
            draft.mistakes.add((*place, key), f"there is no output '{name}'", suggest(name, draft.outputs))
    for key, names in (("of", rule.of), ("suppressed_by", rule.suppressed_by)):
        for name in names:
            if name not in draft.alarms and name.partition(".")[0] not in draft.broken:
                draft.mistakes.add((*place, key), f"there is no alarm '{name}'", suggest(name, draft.alarms))


def _check_limit(place: Place, limit: float, tag: TagDraft, draft: Draft) -> None:
    if _is_outside(limit, tag.info.low, tag.info.high):
        message = f"limit {limit:g} is outside the range {tag.info.low} to {tag.info.high} of '{tag.info.name}'"
        draft.mistakes.add((*place, "limit"), message, "such an alarm could never be raised")
    elif tag.check is not None and _is_outside(limit, tag.check.low, tag.check.high):
        message = f"limit {limit:g} is outside check.low {tag.check.low} to check.high {tag.check.high}"
        hint = "a value beyond the check is bad and raises nothing: widen the check"
        draft.mistakes.add((*place, "limit"), f"{message} of '{tag.info.name}'", hint)


def _check_times(place: Place, rule: AlarmRule, tag: TagDraft, draft: Draft) -> None:
    """What looks back has readings to look at, and what waits for one does not wait in vain."""
    poll_s = _poll_of(tag, draft)
    if poll_s is None:
        return
    for key, time_s, least_s in (
        ("window_s", rule.window_s, WINDOW_POLLS.get(rule.level, 1) * poll_s),
        ("silent_s", rule.silent_s, SILENT_POLLS * poll_s),
    ):
        if time_s is not None and time_s < least_s:
            message = f"{key} = {time_s:g} is too short: '{rule.tag}' is read every {poll_s:g} s"
            draft.mistakes.add((*place, key), message, f"write: {key} = {least_s:g} or more")


def _check_circles(draft: Draft) -> None:
    circle = find_circle(rule for _, rule in draft.alarms.values())
    if circle:
        place, _ = draft.alarms[circle[0]]
        message = f"alarms follow from each other in a circle: {' -> '.join(circle)}"
        draft.mistakes.add(place, message, "let one of them follow from none of the others")


def _is_outside(limit: float, low: float | None, high: float | None) -> bool:
    return (low is not None and limit < low) or (high is not None and limit > high)


def _check_limit_order(draft: Draft) -> None:
    by_tag: dict[str, list[tuple[Place, AlarmRule, float]]] = {}
    for place, rule in draft.alarms.values():
        if rule.level in LEVEL_ORDER and not rule.label and rule.limit is not None:
            by_tag.setdefault(rule.tag, []).append((place, rule, rule.limit))
    for rules in by_tag.values():
        rules.sort(key=lambda entry: LEVEL_ORDER.index(entry[1].level))
        for (_, lower, low), (place, upper, high) in pairwise(rules):
            if low >= high:
                message = f"{upper.level} at {high:g} is not above {lower.level} at {low:g}"
                hint = f"order the limits: {' < '.join(LEVEL_ORDER)}"
                draft.mistakes.add((*place, "limit"), f"'{upper.tag}': {message}", hint)


def _check_partners(tag: TagDraft, check: Check, draft: Draft) -> None:
    for key in PARTNERS:
        if (name := getattr(check, key)) is None:
            continue
        place = (*tag.place, "check", key)
        full = f"{tag.info.device}.{name}"
        if full == tag.info.name:
            draft.mistakes.add(place, f"'{key}' names the tag itself", "name another tag of the device")
        elif full not in draft.tags and tag.info.device not in draft.broken:
            draft.mistakes.add(place, f"device '{tag.info.device}' has no tag '{name}'", _suggest_tag(tag, name, draft))


def _suggest_tag(tag: TagDraft, name: str, draft: Draft) -> str:
    others = (other.info for other in draft.tags.values() if other.info.device == tag.info.device)
    return suggest(name, [info.name.partition(".")[2] for info in others if info.name != tag.info.name])


def _check_windows(tag: TagDraft, check: Check, draft: Draft) -> None:
    """A rule over a time in which there is one reading, or none, tells nothing."""
    poll_s = _poll_of(tag, draft)
    if poll_s is None:
        return
    for key, of, least_s in (("step_s", check.step, poll_s), ("stuck_s", check.stuck, STUCK_POLLS * poll_s)):
        window_s = getattr(check, key)
        if of is not None and window_s < least_s:
            message = f"{key} = {window_s:g} is too short: the tag is read every {poll_s:g} s"
            hint = f"write: {key} = {least_s:g} or more, with the change that belongs to that time"
            draft.mistakes.add((*tag.place, "check", key), message, hint)


def _poll_of(tag: TagDraft, draft: Draft) -> float | None:
    """How often a tag has a reading: a derived one as often as the slowest of its inputs. None where nobody knows."""
    if tag.entry is None:
        return tag.poll_s
    inputs = [draft.tags.get(f"{tag.info.device}.{name}") for name in tag.entry.of]
    return max((found.poll_s for found in inputs if found is not None and found.poll_s is not None), default=None)


def _check_derived(tag: TagDraft, entry: DerivedEntry, draft: Draft) -> None:
    for misfit in find_misfits(entry):
        draft.mistakes.add((*tag.place, misfit.key), misfit.message, misfit.hint)
    for name, found in _inputs_of(tag, entry, draft):
        if found is None and tag.info.device not in draft.broken:
            message = f"device '{tag.info.device}' has no tag '{name}'"
            draft.mistakes.add((*tag.place, "of"), message, _suggest_tag(tag, name, draft))
        elif found is not None and found.entry is not None:
            hint = "derive from what the instrument gives"
            draft.mistakes.add((*tag.place, "of"), f"'{name}' is itself derived", hint)
    poll_s = _poll_of(tag, draft)
    if poll_s is None:
        return
    if entry.formula == "gust" and poll_s > GUST_POLL_MOST_S:
        message = f"a gust is a mean over 3 s, but the speed is read every {poll_s:g} s"
        draft.mistakes.add((*tag.place, "of"), message, f"write: poll_s = {GUST_POLL_MOST_S:g} in the speed's group")
    elif entry.window_s is not None and entry.window_s < DERIVED_POLLS * poll_s:
        message = f"window_s = {entry.window_s:g} is too short: its tags are read every {poll_s:g} s"
        draft.mistakes.add((*tag.place, "window_s"), message, f"write: window_s = {DERIVED_POLLS * poll_s:g} or more")


def _inputs_of(tag: TagDraft, entry: DerivedEntry, draft: Draft) -> Iterator[tuple[str, TagDraft | None]]:
    for name in entry.of:
        yield name, draft.tags.get(f"{tag.info.device}.{name}")


def _check_report(tag: TagDraft, draft: Draft) -> None:
    has_range = tag.info.low is not None and tag.info.high is not None
    if tag.report is not None and tag.report.deadband_pct is not None and not has_range:
        place = (*tag.place, "report", "deadband_pct")
        message = f"deadband_pct is a share of the range, and tag '{tag.info.name}' has none"
        draft.mistakes.add(place, message, "add low and high to the tag, or write: deadband = ... in its unit")


def _check_bus(name: str, bus: BusDraft, draft: Draft) -> None:
    if bus.settings is None:
        return
    if not bus.has_device and not draft.has_lost_device:
        draft.mistakes.add(bus.place, f"bus '{name}' has no device", "add a [[device]] on it, or remove the bus")
    if not bus.groups:
        return
    try:
        bus.kind.build(bus.settings, tuple(scan_group.group for scan_group in bus.groups))
    except SettingsError as error:
        draft.mistakes.add(bus.place, f"bus '{name}': {error}", error.hint)
