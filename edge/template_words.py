"""Tells a template in words: the numbers of its rules with their units, as the tool and the page show them."""

from __future__ import annotations

from collections.abc import Mapping

from edge.alarm_settings import FOREIGN_KEYS, AlarmRule
from edge.template import RANGE, Parameter, RuleTemplate, Share, Template

SIGNS = {"high-high": ">=", "high": ">=", "low": "<=", "low-low": "<="}
"""How a limit of the value itself is compared."""

OF_KINDS: Mapping[str, str | None] = {
    "limit": None,
    "direction": "",
    "window_s": "s",
    "setpoint": None,
    "equals": "",
    "bit": "",
    "silent_s": "s",
    "kind": "",
    "need": "",
}
"""What the conditions of the other kinds are made of, and the unit of each number; None: that of the tag."""


def tell_condition(rule: RuleTemplate, template: Template) -> str:
    """Say while what a rule of a template is raised: ``>= 25 %LEL (level_1)``."""
    told = {key: tell_number(getattr(rule, key), template, unit) for key, unit in OF_KINDS.items()}
    small = f", small range: {tell_number(rule.small_range_limit, template)}" if rule.small_range_limit else ""
    return _join(rule.level, told) + small


def tell_made(rule: AlarmRule, unit: str) -> str:
    """Say while what a rule is raised that was made for a tag with this unit: ``>= 7.05 ppm``."""
    keys = [key for key in OF_KINDS if key not in FOREIGN_KEYS[rule.level]]
    told = {key: _with_unit(getattr(rule, key), OF_KINDS[key], unit) for key in keys}
    return _join(rule.level, told)


def _join(level: str, told: Mapping[str, str]) -> str:
    if level in SIGNS:
        return f"{SIGNS[level]} {told['limit']}"
    words = [key if words == key else f"{key} {words}" for key, words in told.items() if words]
    return f"{level}: {', '.join(words)}" if words else level


def _with_unit(value: object, unit: str | None, tags: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str | bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:g} {tags if unit is None else unit}".rstrip()


def tell_number(part: float | str | Share | None, template: Template, unit: str | None = None) -> str:
    """Say a number with its unit, or what it is a share of; empty if there is none."""
    unit = template.unit if unit is None else unit
    if part is None:
        return ""
    if not isinstance(part, Share):
        return part if isinstance(part, str) else f"{part:g} {unit}".rstrip()
    if part.of == RANGE:
        return f"{part.times * 100:g} % of the range"
    parameter = template.parameter[part.of]
    times = f" x {part.times:g}" if part.times != 1 else ""
    if isinstance(parameter.value, int | float):
        return f"{parameter.value * part.times:g} {parameter.unit or unit}".rstrip() + f" ({part.of}{times})"
    return f"{part.of}{times}"


def tell_delays(rule: RuleTemplate | AlarmRule) -> str:
    """Say how long it must hold, and be back: ``60 s / 60 s``."""
    return f"{rule.on_delay_s:g} s / {rule.off_delay_s:g} s"


def tell_value(parameter: Parameter) -> str:
    """Say what holds of a parameter if nothing is given."""
    if parameter.value is None:
        return "none: optional" if parameter.optional else "must be given"
    return parameter.value if isinstance(parameter.value, str) else f"{parameter.value:g} {parameter.unit}".rstrip()


def tell_bounds(parameter: Parameter) -> str:
    """Say what may be given."""
    if parameter.choices:
        return " or ".join(f"`{choice}`" for choice in parameter.choices)
    ends = (("at least", parameter.least), ("at most", parameter.most))
    return ", ".join(f"{word} {end:.12g}" for word, end in ends if end is not None)
