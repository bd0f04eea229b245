"""Merges what a device says itself into what its profile says: by name, its keys win, its tags are added or changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edge.places import Place

Placed = tuple[Place, dict[str, Any]]
"""A table and where it stands."""

NESTED = ("check", "report")
"""Tables within a tag. They are merged key by key, so that whoever changes one rule keeps the others."""


class GroupTable(msgspec.Struct):
    """A group as profile and file make it together. What a profile brought has the place of the device."""

    table: dict[str, Any]
    place: Place
    tags: list[Placed]
    is_own: bool


def merge_groups(base: list[dict[str, Any]], own: list[dict[str, Any]], device: Place) -> list[GroupTable]:
    """Merge a device's own groups into those of its profile."""
    merged = [GroupTable(group, device, [(device, tag) for tag in group.get("tag", [])], False) for group in base]
    for index, table in enumerate(own):
        place: Place = (*device, "group", index)
        group = GroupTable(table, place, [((*place, "tag", n), tag) for n, tag in enumerate(_tags_of(table))], True)
        same = next((known for known in merged if not known.is_own and _is_same(known.table, table)), None)
        if same is None:
            merged.append(group)
        else:
            group.table = {**same.table, **table}
            group.tags = merge_tags(same.tags, group.tags)
            merged[merged.index(same)] = group
    return merged


def merge_tags(base: Sequence[Placed], own: Sequence[Placed]) -> list[Placed]:
    """Merge tags that stand in one list."""
    merged = list(base)
    for place, tag in own:
        same = next((known for known in base if known in merged and _is_same(known[1], tag)), None)
        if same is None:
            merged.append((place, tag))
        else:
            merged[merged.index(same)] = (place, _merge_tag(same[1], tag))
    return merged


def _merge_tag(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Merge one tag. A template of the site's own stands in the place of the profile's alarms, as alarms would."""
    nested = {
        key: {**base[key], **own[key]}
        for key in NESTED
        if isinstance(base.get(key), dict) and isinstance(own.get(key), dict)
    }
    kept = {key: value for key, value in base.items() if key != "alarm"} if "template" in own else base
    return {**kept, **own, **nested}


def _tags_of(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tags of a group as far as they are any; what they are instead is told when the group is read."""
    tags = table.get("tag", [])
    return [tag for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else []


def _is_same(known: Mapping[str, Any], table: Mapping[str, Any]) -> bool:
    return isinstance(table.get("name"), str) and known.get("name") == table.get("name")
