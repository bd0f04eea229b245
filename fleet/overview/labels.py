"""How the tags of a gateway are called and drawn, from what it reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from fleet.alarms import own
from fleet.alarms.kinds import read_kinds
from fleet.alarms.models import AlarmEvent
from fleet.gateways.models import Gateway, Tag
from fleet.gateways.service import read_limits, read_range
from fleet.overview.figures import Label, Rule
from fleet.sites.models import Site

LIMITS = ("high-high", "high", "low", "low-low")
"""The levels that are a limit of the value itself."""

CLASSES = (1.0, 12.0)
"""What intensities reach from and to."""


def read_labels(session: Session, gateway: str, names: Collection[str] | None = None) -> dict[str, tuple[int, Label]]:
    """{tag: (id, label)} of a gateway's listed tags in its own order, or of the tags named, listed or not."""
    reported = session.scalar(sa.select(Gateway.reported).where(Gateway.name == gateway))
    rules, devices, kinds = _read_rules(reported), _name_devices(reported), read_kinds(reported)
    query = sa.select(Tag).where(Tag.gateway == gateway).order_by(Tag.position, Tag.name)
    query = query.where(Tag.listed) if names is None else query.where(Tag.name.in_(names))
    found = {}
    for tag in session.scalars(query):
        low, high = read_range(tag.low, tag.high)
        found[tag.name] = (
            tag.id,
            Label(
                gateway=gateway,
                tag=tag.name,
                title=tag.title,
                device=devices.get(tag.device, tag.device),
                unit=tag.unit,
                low=low,
                high=high,
                rules=rules.get(tag.name) or _guess_rules(tag.limits),
                kinds=kinds,
            ),
        )
    return found


def pick_label(labels: Mapping[str, tuple[int, Label]], line: AlarmEvent) -> Label:
    """The label of a line of the journal, of the labels of its gateway."""
    return labels[line.tag][1] if line.tag in labels else label_untagged(line.gateway, line.tag, line.alarm)


def label_untagged(gateway: str, tag: str, alarm: str) -> Label:
    """The label of an alarm that no known tag has. One of the fleet's own is called by what it is about."""
    found = own.find(alarm)
    if found is not None and found[0] is own.EARTHQUAKE:
        return Label(gateway, tag, title=found[1], low=CLASSES[0], high=CLASSES[1])
    return Label(gateway, tag, title=found[1] if found else "")


def _read_rules(reported: Mapping[str, Any] | None) -> dict[str, tuple[Rule, ...]]:
    """{tag: its limits}, all of them, from the alarms of a reported document."""
    found: dict[str, tuple[Rule, ...]] = {}
    for alarm in (reported or {}).get("alarms", ()):
        tag, level, priority = str(alarm.get("tag")), str(alarm.get("level")), int(alarm.get("priority", 2))
        if level in LIMITS:
            limits = read_limits({level: alarm.get("limit")}).values()
            found[tag] = found.get(tag, ()) + tuple(Rule(level, float(limit), priority) for limit in limits)
    return found


def _guess_rules(limits: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The limits of a tag of which no alarm is known: the level alone decides how urgent each is."""
    return tuple(
        Rule(level, float(limit), 1 if level in ("high-high", "low-low") else 2)
        for level, limit in read_limits(limits).items()
    )


def _name_devices(reported: Mapping[str, Any] | None) -> dict[str, str]:
    """{device: title} from a reported document."""
    return {
        str(row.get("name")): str(row.get("title") or row.get("name")) for row in (reported or {}).get("devices", ())
    }


def name_places(session: Session, gateways: Collection[str]) -> dict[str, tuple[str, str]]:
    """{gateway: (its title or name, its site's title)}; both are empty where none is named."""
    query = (
        sa.select(Gateway.name, Gateway.title, Gateway.site_key, Site.title)
        .outerjoin(Site, Site.key == Gateway.site_key)
        .where(Gateway.name.in_(gateways))
    )
    named = {name: (title or name, site or key or "") for name, title, key, site in session.execute(query)}
    return {gateway: named.get(gateway, ("", "")) for gateway in gateways}
