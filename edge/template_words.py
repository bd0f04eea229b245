"""Tells a template in words: the numbers of its rules with their units, as the tool and the page show them.

``language`` is that of the words; names of templates, parameters and choices are what a file calls them in any.
"""

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


CHINESE: Mapping[str, str] = {
    "deviation": "偏差",
    "rate": "变化率",
    "discrete": "开关量",
    "bad": "坏数据",
    "silent": "无数据",
    "total": "累计",
    "combined": "组合",
    "output-fault": "输出故障",
    "commanded": "平台指令",
    "limit": "限值",
    "direction": "方向",
    "rising": "上升",
    "falling": "下降",
    "either": "双向",
    "window_s": "时间窗",
    "setpoint": "设定值",
    "equals": "等于",
    "bit": "位",
    "silent_s": "无数据时长",
    "kind": "读数",
    "counter": "累计读数",
    "amount": "时段量",
    "need": "至少满足",
    "small range": "小量程",
    "% of the range": "% 量程",
    "none: optional": "可不填",
    "must be given": "必填",
    "or": "或",
    "at least": "不小于",
    "at most": "不大于",
    "any": "通用",
    "chemical": "化工",
    "earthquake": "地震",
    "fireworks": "烟花爆竹",
    "flood": "内涝",
    "pipeline": "燃气管网",
    "weather": "气象",
}
"""The words of all that is told; one that is missing is a name."""


def word(text: str, language: str) -> str:
    """Say a word in a language, ``zh`` or ``en``."""
    return CHINESE.get(text, text) if language == "zh" else text


def tell_condition(rule: RuleTemplate, template: Template, language: str = "en") -> str:
    """Say while what a rule of a template is raised: ``>= 25 %LEL (level_1)``."""
    told = {key: tell_number(getattr(rule, key), template, unit, language) for key, unit in OF_KINDS.items()}
    condition = _join(rule.level, told, language)
    if rule.small_range_limit is None:
        return condition
    small = tell_number(rule.small_range_limit, template, language=language)
    return f"{condition}, {word('small range', language)}: {small}"


def tell_made(rule: AlarmRule, unit: str, language: str = "en") -> str:
    """Say while what a rule is raised that was made for a tag with this unit: ``>= 7.05 ppm``."""
    keys = [key for key in OF_KINDS if key not in FOREIGN_KEYS[rule.level]]
    told = {key: _with_unit(getattr(rule, key), OF_KINDS[key], unit) for key in keys}
    return _join(rule.level, told, language)


def _join(level: str, told: Mapping[str, str], language: str) -> str:
    if level in SIGNS:
        return f"{SIGNS[level]} {told['limit']}"
    parts = [_name(key, words, language) for key, words in told.items() if words]
    return f"{word(level, language)}: {', '.join(parts)}" if parts else word(level, language)


def _name(key: str, words: str, language: str) -> str:
    """Say a number with its key; a parameter of the key's own name only once."""
    name, number = word(key, language), words if words == key else word(words, language)
    return name if name == number else f"{name} {number}"


def _with_unit(value: object, unit: str | None, tags: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str | bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:g} {tags if unit is None else unit}".rstrip()


def tell_number(
    part: float | str | Share | None, template: Template, unit: str | None = None, language: str = "en"
) -> str:
    """Say a number with its unit, or what it is a share of; empty if there is none."""
    unit = template.unit if unit is None else unit
    if part is None:
        return ""
    if not isinstance(part, Share):
        return part if isinstance(part, str) else f"{part:g} {unit}".rstrip()
    if part.of == RANGE:
        return f"{part.times * 100:g} {word('% of the range', language)}"
    parameter = template.parameter[part.of]
    times = f" x {part.times:g}" if part.times != 1 else ""
    if isinstance(parameter.value, int | float):
        return f"{parameter.value * part.times:g} {parameter.unit or unit}".rstrip() + f" ({part.of}{times})"
    return f"{part.of}{times}"


def tell_delays(rule: RuleTemplate | AlarmRule) -> str:
    """Say how long it must hold, and be back: ``60 s / 60 s``."""
    return f"{rule.on_delay_s:g} s / {rule.off_delay_s:g} s"


def tell_value(parameter: Parameter, language: str = "en") -> str:
    """Say what holds of a parameter if nothing is given."""
    if parameter.value is None:
        return word("none: optional" if parameter.optional else "must be given", language)
    return parameter.value if isinstance(parameter.value, str) else f"{parameter.value:g} {parameter.unit}".rstrip()


def tell_bounds(parameter: Parameter, language: str = "en") -> str:
    """Say what may be given."""
    if parameter.choices:
        return f" {word('or', language)} ".join(f"`{choice}`" for choice in parameter.choices)
    ends = (("at least", parameter.least), ("at most", parameter.most))
    return ", ".join(f"{word(text, language)} {end:.12g}" for text, end in ends if end is not None)
