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


def read_labels(session: Session, gateway: str, names: Collection[str] | None = None) -> dict[str, tuple[int, Label]]:
    """{tag: (id, label)} of a gateway's listed tags in its own order, or of the tags named, listed or not."""
    reported = session.scalar(sa.select(Gateway.reported).where(Gateway.name == gateway))
    priorities, devices, kinds = _read_priorities(reported), _name_devices(reported), read_kinds(reported)
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
                rules=_read_rules(tag.limits, priorities.get(tag.name, {})),
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
    return Label(gateway, tag, title=found[1] if found else "")


def _read_rules(limits: Mapping[str, Any], priorities: Mapping[str, int]) -> tuple[Rule, ...]:
    """The rules of a tag. Without a known priority the level alone decides."""
    return tuple(
        Rule(level, float(limit), priorities.get(level, 1 if level in ("high-high", "low-low") else 2))
        for level, limit in read_limits(limits).items()
    )


def _read_priorities(reported: Mapping[str, Any] | None) -> dict[str, dict[str, int]]:
    """{tag: {level: priority}} from a reported document."""
    found: dict[str, dict[str, int]] = {}
    for rule in (reported or {}).get("alarms", ()):
        found.setdefault(str(rule.get("tag")), {})[str(rule.get("level"))] = int(rule.get("priority", 2))
    return found


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
