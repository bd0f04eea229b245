"""What an alarm is called beside its tag: one of a kind by the kind, one of several by the title its rule has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def read_kinds(reported: Mapping[str, Any] | None) -> dict[str, str]:
    """{alarm: title of its rule} of the rules that have a name of their own, from a reported document.

    Wind warnings are four alarms of level `high` on one tag: the level alone does not tell which.
    """
    found = {}
    for rule in (reported or {}).get("alarms", ()):
        name, level = str(rule.get("name")), str(rule.get("level"))
        label = name.removeprefix(f"{rule.get('tag')}:")
        if label != level:
            found[name] = str(rule.get("title") or label)
    return found
