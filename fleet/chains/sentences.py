"""A rule as sentences that a person can read, in Chinese and in English. Pure: who is called what is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from fleet.chains.rules import Hurry, Inspect, Raise, Rule, Target


class Names(msgspec.Struct, frozen=True):
    """What things are called: {key: title}. ``alarms`` by the alarm's name. What is not there is called by its key."""

    sites: Mapping[str, str] = {}
    gateways: Mapping[str, str] = {}
    sectors: Mapping[str, str] = {}
    alarms: Mapping[str, str] = {}


class Sentences(msgspec.Struct, frozen=True):
    """``when`` a rule fires, and what it ``does``, a sentence for each step."""

    when: str
    does: tuple[str, ...]


WORDS = {
    "zh": {
        "and": "、",
        "any": "任一台站",
        "stations": "台站 {names} 之一",
        "near": "{stations}在{place} {km:g} 公里内",
        "when": "地震烈度达到 {intensity:g} 度（{where}）时：",
        "questionable": "，仅一台测到且数据质量可疑时也算",
        "point": "北纬 {lat:g}°、东经 {lon:g}°",
        "site": "{names}的网关",
        "sector": "{names}行业的网关",
        "raise": "{who}：发出“{alarm}”报警",
        "hurry": "{who}：{groups} 在 {lasts}内每 {every}采集一次",
        "inspect": "通知巡检“{title}”：{places}，逐项勾选",
        "all": "{names}行业的全部场所",
        "s": "{n:g} 秒",
        "min": "{n:g} 分钟",
        "h": "{n:g} 小时",
    },
    "en": {
        "and": ", ",
        "any": "at any station",
        "stations": "at one of {names}",
        "near": "{stations} within {km:g} km of {place}",
        "when": "When a quake of intensity {intensity:g} or more is measured ({where}):",
        "questionable": ", also by one station alone with questionable quality",
        "point": "{lat:g}° N, {lon:g}° E",
        "site": "gateways of {names}",
        "sector": "gateways of the sector {names}",
        "raise": "{who}: raise “{alarm}”",
        "hurry": "{who}: read {groups} every {every} for {lasts}",
        "inspect": "tell people to inspect “{title}”: {places}, to be ticked off",
        "all": "all sites of the sector {names}",
        "s": "{n:g} s",
        "min": "{n:g} min",
        "h": "{n:g} h",
    },
}
LANGUAGES = tuple(WORDS)


def write_rule(rule: Rule, names: Names, language: str) -> Sentences:
    """Say when a rule fires and what it does."""
    words = WORDS[language]
    does = [
        *(words["raise"].format(who=_who(one, names, words), alarm=_alarm(one, names)) for one in rule.raises),
        *(_hurry(one, names, words) for one in rule.hurries),
        *(words["inspect"].format(title=one.title, places=_places(one, names, words)) for one in rule.inspects),
    ]
    return Sentences(words["when"].format(intensity=rule.intensity, where=_where(rule, names, words)), tuple(does))


def _where(rule: Rule, names: Names, words: Mapping[str, str]) -> str:
    stations = words["stations"].format(names=words["and"].join(rule.stations)) if rule.stations else words["any"]
    where = stations
    if rule.within_km is not None:
        place = names.sites.get(rule.site, rule.site) or words["point"].format(lat=rule.lat, lon=rule.lon)
        where = words["near"].format(stations=stations, place=place, km=rule.within_km)
    return where + (words["questionable"] if rule.questionable else "")


def _who(target: Target, names: Names, words: Mapping[str, str]) -> str:
    parts = _call(target.gateways, names.gateways)
    if target.sites:
        parts.append(words["site"].format(names=words["and"].join(_call(target.sites, names.sites))))
    if target.sectors:
        parts.append(words["sector"].format(names=words["and"].join(_call(target.sectors, names.sectors))))
    return words["and"].join(parts)


def _alarm(one: Raise, names: Names) -> str:
    return names.alarms.get(one.alarm) or one.alarm.rpartition(":")[0]


def _hurry(one: Hurry, names: Names, words: Mapping[str, str]) -> str:
    return words["hurry"].format(
        who=_who(one, names, words),
        groups=words["and"].join(one.groups),
        every=write_span(one.every_s, words),
        lasts=write_span(one.lasts_min * 60, words),
    )


def _places(one: Inspect, names: Names, words: Mapping[str, str]) -> str:
    parts = [*_call(one.sites, names.sites), *one.places]
    if one.sectors:
        parts.append(words["all"].format(names=words["and"].join(_call(one.sectors, names.sectors))))
    return words["and"].join(parts)


def write_span(seconds: float, words: Mapping[str, str]) -> str:
    """A span of time in the largest unit of which it is a whole number."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return words[unit].format(n=seconds / size)
    return words["s"].format(n=seconds)


def _call(keys: Sequence[str], titles: Mapping[str, str]) -> list[str]:
    return [titles.get(key) or key for key in keys]


def write_lines(sentences: Sentences) -> Iterator[str]:
    """A rule as lines of plain text."""
    yield sentences.when
    yield from (f"  - {line}" for line in sentences.does)
