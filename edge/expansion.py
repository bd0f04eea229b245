"""Makes alarm rules of a template, a tag and what the technician gave. Pure: tables in, tables in the form of [[alarm]]
out; what does not fit is a mistake with its place and what to write instead.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edge.gases import mg_to_ppm, round_down
from edge.mistakes import Mistakes, suggest
from edge.places import Place
from edge.template import RANGE, Parameter, RuleTemplate, Share, Template
from wire.twin import TagInfo

Values = Mapping[str, float | str]
"""Parameters that have a value, by name."""

COMMON = ("deadband", "on_delay_s", "off_delay_s")
"""Keys of [[alarm]] that may be given for all rules of a template: the template's own are values to start with."""
OUTPUTS = "outputs"
"""A list for all rules, or a table of lists by the rule's name."""

MOLAR_MASS, MASS, VOLUME = "molar_mass", "mg/m3", "ppm"
MEMBER = "member"
"""The parameter that names the alarm of each tag which a combination counts."""
KEPT = ("level", "name", "priority", "on_delay_s", "off_delay_s", "direction")
"""What a rule takes from its template as it stands there."""
OF_KIND = ("window_s", "setpoint", "equals", "bit", "silent_s", "kind", "wrap")
"""What only some kinds of rules have: it stands in the template, or is what was given for a parameter."""
VALUE_LIMITS = ("high-high", "high", "low", "low-low")
"""Levels whose limit is one of the value itself, so that the tag's range must hold it."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A template at the place where it is used, with what was given there."""

    template: Template
    given: Mapping[str, Any]
    place: Place
    mistakes: Mistakes


def expand_tag(setting: Setting, tag: TagInfo) -> list[dict[str, Any]]:
    """Make the rules of one tag, as [[alarm]] writes them; none if anything was wrong."""
    before = len(setting.mistakes.found)
    values = _read_values(setting)
    _check_range(setting, tag)
    factor = _factor(setting, values, tag)
    if len(setting.mistakes.found) > before:
        return []
    made = [_expand_rule(rule, setting, values, tag, factor) for rule in setting.template.rule]
    rules = [table for table in made if table is not None]
    if not rules:
        wanted = [name for name, parameter in setting.template.parameter.items() if parameter.optional]
        setting.mistakes.add(setting.place, f"{_called(setting)} makes no rule", f"give one of: {', '.join(wanted)}")
    return rules if len(setting.mistakes.found) == before else []


def expand_tags(setting: Setting, tags: Sequence[str], called: str) -> list[dict[str, Any]]:
    """Make the rules that combine an alarm of each of several tags; none if anything was wrong."""
    before = len(setting.mistakes.found)
    values = _read_values(setting)
    wanted = setting.template.tags
    if len(set(tags)) != wanted or len(tags) != wanted:
        message = f"{_called(setting)} takes {wanted} different tags, here are {len(set(tags))}"
        setting.mistakes.add((*setting.place, "of"), message, f"name {wanted} detectors that stand in one place")
    if not called:
        hint = 'add: called = "gas-area-1", the first part of the alarm\'s name'
        setting.mistakes.add(setting.place, f"'called' is missing: {_called(setting)} makes an alarm of no tag", hint)
    if len(setting.mistakes.found) > before:
        return []
    return [
        {
            **_plain(rule, setting, values),
            "name": called,
            "of": [f"{tag}:{values[MEMBER]}" for tag in tags],
            "need": _number(rule.need, values),
        }
        for rule in setting.template.rule
    ]


def _called(setting: Setting) -> str:
    return f"template '{setting.template.name}'"


def _read_values(setting: Setting) -> Values:
    """Take what was given, or else the template's own values."""
    template = setting.template
    known = sorted({*template.parameter, *COMMON, OUTPUTS} - {*template.fixed})
    for key in setting.given:
        if key in template.fixed:
            message = f"{_called(setting)} leaves '{key}' to nobody: {template.source}"
            setting.mistakes.add((*setting.place, key), message, f"remove: {key}")
        elif key not in known:
            message = f"{_called(setting)} has no parameter '{key}'"
            setting.mistakes.add((*setting.place, key), message, suggest(key, known))
    _check_outputs(setting)
    values: dict[str, float | str] = {}
    for name, parameter in template.parameter.items():
        value = setting.given.get(name, parameter.value)
        if value is None and not parameter.optional:
            hint = f"add: {name} = {_example(parameter)}"
            message = f"'{name}' is missing: {_called(setting)} needs the {parameter.title_en} ({parameter.title})"
            setting.mistakes.add(setting.place, message, hint)
        elif value is not None and _check_value(setting, name, parameter, value):
            values[name] = value
    return values


def _check_outputs(setting: Setting) -> None:
    outputs = setting.given.get(OUTPUTS)
    if not isinstance(outputs, Mapping):
        return
    keys = [rule.key for rule in setting.template.rule]
    for key in outputs:
        if key not in keys:
            message = f"{_called(setting)} makes no rule '{key}'"
            setting.mistakes.add((*setting.place, OUTPUTS), message, suggest(str(key), keys))


def _example(parameter: Parameter) -> str:
    if parameter.is_tag:
        return '"device.tag", another tag\'s full name'
    if parameter.choices:
        return " or ".join(f'"{choice}"' for choice in parameter.choices)
    return f"a number in {parameter.unit}" if parameter.unit else "a number in the tag's unit"


def _check_value(setting: Setting, name: str, parameter: Parameter, value: Any) -> bool:
    """Tell whether a value is one that the parameter can have; what is wrong goes to the mistakes."""
    place, wanted = (*setting.place, name), f"write: {name} = {_example(parameter)}"
    if parameter.choices:
        if value in parameter.choices:
            return True
        setting.mistakes.add(place, f"'{name}' is wrong: {value!r}", wanted)
        return False
    if parameter.is_tag:
        if isinstance(value, str):
            return True
        setting.mistakes.add(place, f"'{name}' is no tag's name: {value!r}", wanted)
        return False
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        setting.mistakes.add(place, f"'{name}' is no number that can be used", wanted)
        return False
    least = -math.inf if parameter.least is None else parameter.least
    most = math.inf if parameter.most is None else parameter.most
    if least <= value <= most:
        return True
    bound = f"less than {least:g}" if value < least else f"more than {most:g}"
    source = parameter.source or setting.template.source
    message = f"{name} = {value:g} is {bound} {parameter.unit}".rstrip()
    setting.mistakes.add(place, f"{message} ({source})", f"correct it, or remove: {name}")
    return False


def _check_range(setting: Setting, tag: TagInfo) -> None:
    shares = [part for rule in setting.template.rule for part in (rule.limit, rule.deadband)]
    is_needed = any(isinstance(part, Share) and part.of == RANGE for part in shares) or _is_small(setting)
    if is_needed and (tag.low is None or tag.high is None):
        message = f"{_called(setting)} needs the range of '{tag.name}', which has none"
        setting.mistakes.add(setting.place, message, "add low = ... and high = ... to the tag")


def _is_small(setting: Setting) -> bool:
    """Whether what was given asks for the limits of an instrument whose range does not suit the usual ones."""
    limits = [rule.small_range_limit for rule in setting.template.rule]
    return any(limit is not None and limit.of in setting.given for limit in limits)


def _plainly(unit: str) -> str:
    """Make one of the ways to write a unit: mg/m³ and mg/m3, ℃, degC and °C, %vol and %VOL."""
    return unicodedata.normalize("NFKC", unit).replace(" ", "").casefold().replace("deg", "°")


def _factor(setting: Setting, values: Values, tag: TagInfo) -> float:
    """How many of the tag's unit make one of the template's."""
    template = setting.template
    factors = {template.unit: 1.0, **template.also}
    if template.unit == MASS and MOLAR_MASS in values:
        factors[VOLUME] = mg_to_ppm(1.0, float(values[MOLAR_MASS]))
    plain = {_plainly(unit): factor for unit, factor in factors.items()}
    if not template.unit or _plainly(tag.unit) in plain:
        return plain.get(_plainly(tag.unit), 1.0)
    has = f"has the unit '{tag.unit}'" if tag.unit else "has no unit"
    message = f"'{tag.name}' {has}, {_called(setting)} is for {' or '.join(factors)}"
    hint = "choose another template, or correct the tag's unit"
    if _plainly(tag.unit) == VOLUME and template.unit == MASS:
        hint = f"add: {MOLAR_MASS} = the gas's, in g/mol"
    setting.mistakes.add(setting.place, message, hint)
    return 1.0


def _expand_rule(
    rule: RuleTemplate, setting: Setting, values: Values, tag: TagInfo, factor: float
) -> dict[str, Any] | None:
    """Make one rule; None where it needs an optional parameter that was not given."""
    parts = {key: getattr(rule, key) for key in OF_KIND}
    of_kind = {key: value for key, part in parts.items() if (value := _number(part, values)) is not None}
    if rule.limit is None:
        return {**_plain(rule, setting, values), **of_kind}
    limit = _in_unit(rule.limit, values, tag, factor)
    if limit is None:
        return None
    if _is_small(setting) and rule.small_range_limit is not None:
        limit = _small_range_limit(rule, limit, setting, values, tag, factor)
    elif not _is_within(limit, rule, tag):
        message = f"the range {_range(tag)} of '{tag.name}' does not suit {rule.key} at {_show(limit, tag)}"
        setting.mistakes.add(setting.place, f"{_called(setting)}: {message}", _suit(rule, setting))
    deadband = setting.given.get("deadband", _in_unit(rule.deadband, values, tag, factor))
    table = {**_plain(rule, setting, values), **of_kind, "limit": limit}
    return table if deadband is None else table | {"deadband": deadband}


def _small_range_limit(
    rule: RuleTemplate, usual: float, setting: Setting, values: Values, tag: TagInfo, factor: float
) -> float:
    """The limit for an instrument whose range does not suit the usual one, which is checked."""
    share = rule.small_range_limit
    assert share is not None
    if all(_is_within(limit, rule, tag) for limit in _usual_limits(setting, values, tag, factor)):
        message = f"the range {_range(tag)} of '{tag.name}' suits the usual limits"
        setting.mistakes.add((*setting.place, share.of), f"{_called(setting)}: {message}", f"remove: {share.of}")
        return usual
    limit = _in_unit(share, values, tag, factor)
    assert limit is not None
    if not _is_within(limit, rule, tag):
        message = f"the range {_range(tag)} of '{tag.name}' does not suit {rule.key} at {_show(limit, tag)} either"
        setting.mistakes.add(setting.place, f"{_called(setting)}: {message}", "take a detector of another range")
    return limit


def _usual_limits(setting: Setting, values: Values, tag: TagInfo, factor: float) -> list[float]:
    limits = [_in_unit(rule.limit, values, tag, factor) for rule in setting.template.rule]
    return [limit for limit in limits if limit is not None]


def _is_within(limit: float, rule: RuleTemplate, tag: TagInfo) -> bool:
    """Whether the tag's range holds a limit. That of a sum or a difference has nothing to do with it."""
    if rule.level not in VALUE_LIMITS:
        return True
    return (tag.low is None or limit >= tag.low) and (tag.high is None or limit <= tag.high)


def _suit(rule: RuleTemplate, setting: Setting) -> str:
    if rule.small_range_limit is None:
        return "correct the number, or low and high of the tag"
    of = rule.small_range_limit.of
    parameter = setting.template.parameter[of]
    return f"correct low and high of the tag, or add: {of} = {_example(parameter)} ({parameter.title_en})"


def _range(tag: TagInfo) -> str:
    return f"{'...' if tag.low is None else f'{tag.low:g}'} to {'...' if tag.high is None else f'{tag.high:g}'}"


def _show(limit: float, tag: TagInfo) -> str:
    return f"{limit:g} {tag.unit}".rstrip()


def _in_unit(part: float | Share | None, values: Values, tag: TagInfo, factor: float) -> float | None:
    """A number of a template in the tag's unit. One of mg/m3 that becomes ppm is cut, not rounded."""
    if isinstance(part, Share) and part.of == RANGE:
        assert tag.low is not None
        assert tag.high is not None
        return _tidy((tag.high - tag.low) * part.times)
    number = _number(part, values)
    if number is None:
        return None
    is_converted = _plainly(tag.unit) == VOLUME
    return round_down(float(number) * factor) if is_converted else _tidy(float(number) * factor)


def _number(part: float | str | Share | None, values: Values) -> float | str | None:
    """A number or text of a template; None where it needs a parameter that has no value."""
    if not isinstance(part, Share):
        return part
    value = values.get(part.of)
    return value if value is None or isinstance(value, str) or part.times == 1 else _tidy(value * part.times)


def _tidy(number: float) -> float:
    """Drop what binary fractions add: 3 * 0.01 is 0.03."""
    return float(f"{number:.12g}")


def _plain(rule: RuleTemplate, setting: Setting, values: Values) -> dict[str, Any]:
    """What a rule has whatever its tag is."""
    template = setting.template
    table = {key: value for key in KEPT if (value := getattr(rule, key)) not in ("", None, 0.0)}
    table |= {key: setting.given[key] for key in COMMON[1:] if key in setting.given}
    table["title"] = f"{template.title} {rule.title}"
    table["source"] = format_source(rule, setting, values)
    outputs = setting.given.get(OUTPUTS, [])
    chosen = outputs.get(rule.key, []) if isinstance(outputs, Mapping) else outputs
    return table | ({OUTPUTS: chosen} if chosen else {})


def format_source(rule: RuleTemplate, setting: Setting, values: Values) -> str:
    """Say where a rule comes from: the standard, and which parameters of the template went into it."""
    small = rule.small_range_limit if _is_small(setting) else None
    part = small or rule.limit
    value = values.get(part.of) if isinstance(part, Share) else None
    if not isinstance(part, Share) or not isinstance(value, int | float):
        return f"{rule.source} ({setting.template.name})"
    times = f" x {part.times:g}" if part.times != 1 else ""
    amount = f"{value:g} {setting.template.parameter[part.of].unit}".rstrip()
    return f"{rule.source} ({setting.template.name}: {part.of} {amount}{times})"
