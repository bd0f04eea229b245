"""The API of notifications: which message went to whom, what became of it, and the feed of alerts (CAP 1.2)."""

from __future__ import annotations

from typing import Any

from apiflask import Schema
from apiflask.fields import Dict, Integer, List, Nested, String
from apiflask.validators import Range
from flask import Response, request

from fleet.api import INT_MAX, dump, find_services, make_blueprint, reading
from fleet.notifications import feed, service

blueprint = make_blueprint("notifications")


class MessagesQuery(Schema):
    """Which part of the list, newest first."""

    contact = String(load_default="", metadata={"description": "Only to this contact"})
    before = Integer(load_default=None, validate=Range(0, INT_MAX), metadata={"description": "Only a smaller id"})
    limit = Integer(load_default=100, validate=Range(1, 1000))


class FeedQuery(Schema):
    """Of which gateway."""

    gateway = String(load_default="", metadata={"description": "Only of this gateway"})


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
    with reading() as session:
        messages = service.list_messages(session, **query_data)
        return {"messages": dump(messages), "waiting": service.count_unsent(session)}


@blueprint.get("/cap/feed")
@blueprint.input(FeedQuery, location="query")
@blueprint.doc(responses={200: "An Atom feed of alerts"})
def show_feed(query_data: dict[str, Any]) -> Response:
    """List the newest alert of each alarm that goes on or has ended within a day, as an Atom feed."""
    services = find_services()
    now_ns = services.clock()
    with reading() as session:
        entries = feed.list_current(session, query_data["gateway"].replace("\0", ""), now_ns)
    return Response(feed.write_index(request.url, entries, now_ns), mimetype="application/atom+xml")


@blueprint.get("/cap/alerts/<int:number>")
@blueprint.doc(responses={200: "An alert of CAP 1.2"})
def show_alert(number: int) -> Response:
    """Show the alert that a line of the journal is. It never changes."""
    services = find_services()
    with reading() as session:
        alert = feed.write_alert(session, services.settings.cap_sender, min(number, INT_MAX))
    return Response(alert, mimetype="application/cap+xml")
