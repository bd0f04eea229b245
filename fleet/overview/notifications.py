"""The page of notifications: messages, and what waits for the next one of each contact."""

from __future__ import annotations

import msgspec

from fleet.notifications import service
from fleet.notifications.service import Line
from fleet.overview.sources import Sources

PAGE = 50


class NotificationsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Messages, newest first. ``older`` is the id to go on from; ``has_rules``: whether a file is set."""

    messages: tuple[Line, ...]
    waiting: tuple[tuple[str, int], ...]
    older: int | None
    has_rules: bool


def find_notifications(sources: Sources, before: int | None, rules: str) -> NotificationsPage:
    """Gather the page. ``rules`` is the setting `notify_rules`."""
    messages = service.list_messages(sources.session, before, PAGE + 1)
    return NotificationsPage(
        messages=tuple(messages[:PAGE]),
        waiting=tuple(sorted(service.count_unsent(sources.session).items())),
        older=messages[PAGE - 1].id if len(messages) > PAGE else None,
        has_rules=bool(rules),
    )
