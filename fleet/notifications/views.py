"""The API of notifications: which message went to whom, and what became of it."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Dict, Integer, List, Nested, String
from apiflask.validators import Range

from fleet.api import INT_MAX, dump, find_services, make_blueprint
from fleet.notifications import service

blueprint = make_blueprint("notifications")


class MessagesQuery(Schema):
    """Which part of the list, newest first."""

    contact = String(load_default="", metadata={"description": "Only to this contact"})
    before = Integer(load_default=None, validate=Range(0, INT_MAX), metadata={"description": "Only a smaller id"})
    limit = Integer(load_default=100, validate=Range(1, 1000))


class NoticeOut(Schema):
    """What is told: the step, and the alarm as it stood then."""

    step = String()
    alarm = Dict()


class MessageOut(Schema):
    """A message. ``state``: waiting, sent or given-up; ``notices`` are the first ten of ``count``."""

    id = Integer()
    key = String()
    contact = String()
    made_ns = Integer()
    state = String()
    tries = Integer()
    last_error = String()
    tried_ns = Integer(allow_none=True)
    next_ns = Integer(allow_none=True)
    count = Integer()
    notices = List(Nested(NoticeOut))


class NotificationsOut(Schema):
    """A page of messages, and how many notices wait for the next message of each contact."""

    messages = List(Nested(MessageOut))
    waiting = Dict()


@blueprint.get("/notifications")
@blueprint.input(MessagesQuery, location="query")
@blueprint.output(NotificationsOut)
def list_notifications(query_data: dict[str, Any]) -> dict[str, Any]:
    """List messages, newest first."""
    with find_services().database.reading() as session:
        messages = service.list_messages(session, **query_data)
        return {"messages": dump(messages), "waiting": service.count_unsent(session)}
