"""Tells a template in words: the numbers of its rules with their units, as the tool and the page show them."""

from __future__ import annotations

from edge.template import RANGE, Parameter, RuleTemplate, Share, Template

SIGNS = {"high-high": ">=", "high": ">=", "low": "<=", "low-low": "<="}
"""How a limit of the value itself is compared."""

OF_KINDS = (
    ("limit", None), ("direction", ""), ("window_s", "s"), ("setpoint", None), ("equals", ""), ("bit", ""),
    ("silent_s", "s"), ("kind", ""), ("need", ""),
)  # fmt: skip
"""Keys of the other kinds, and the unit of their numbers; None: that of the template."""


def tell_condition(rule: RuleTemplate, template: Template) -> str:
    """Say while what a rule is raised: ``>= 25 %LEL (level_1)``."""
    limit = tell_number(rule.limit, template)
    if rule.level in SIGNS:
        small = f", small range: {tell_number(rule.small_range_limit, template)}" if rule.small_range_limit else ""
        return f"{SIGNS[rule.level]} {limit}{small}"
    told = {key: tell_number(getattr(rule, key), template, unit) for key, unit in OF_KINDS}
    words = [key if words == key else f"{key} {words}" for key, words in told.items() if words]
    return f"{rule.level}: {', '.join(words)}" if words else rule.level


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


def tell_delays(rule: RuleTemplate) -> str:
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
    return ", ".join(f"{word} {end:g}" for word, end in ends if end is not None)
