"""The console's pages of alarms: the lists, the journal, and what operators ask for."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from flask import Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, ngettext
from flask_login import current_user

from fleet.alarms import operations, service, statistics
from fleet.alarms.service import Filter
from fleet.alarms.table import write_journal
from fleet.api import INT_MAX, changing
from fleet.commands.keys import load_key
from fleet.console.drawing import draw_columns
from fleet.console.notation import NS, ZONE
from fleet.console.state import find_console
from fleet.console.views import blueprint, local_path, read_number
from fleet.console.words import ACTIONS, KINDS
from fleet.errors import FleetError, InvalidError
from fleet.overview.alarm_pages import JOURNAL, find_alarms, find_journal, find_statistics
from wire.alarm import SHELVE_MOST_MINUTES, AlarmRequest

__all__ = ["blueprint"]

LEAST_URGENT = 4
COMMENT_MOST = 500
TOLD_MOST = 600
TOLD_ALARMS = 20
EXPORTED_MOST = 100_000
SHELVE_MINUTES = (30, 60, 240, 480, 1440, 0)
"""How long the page offers to shelve; 0 until it clears."""
STATISTICS_DAYS = (1, 7, 30)
FACES = ("gateway", "alarm", "kind", "priority", "from", "to")
"""What of an address filters the journal."""


@blueprint.get("/alarms")
def alarms() -> str:
    """Alarms that are not normal, or the journal."""
    args, before = request.args, read_number("before", INT_MAX)
    with find_console().reading() as sources:
        if args.get("state") == JOURNAL:
            page = find_journal(sources, _read_filter(), before)
        else:
            page = find_alarms(
                sources,
                state=args.get("state", ""),
                priority=read_number("priority", LEAST_URGENT) or 0,
                gateway=args.get("gateway", ""),
                number=read_number("page", 10**6) or 1,
            )
        # A page further back in the journal stays as it is; only the newest one lives.
        live = {} if before is not None else {"events": url_for("console.events")}
        return render_template(
            "console/alarms.html",
            page=page,
            now_ns=sources.now_ns,
            kinds=KINDS,
            kept={key: args[key] for key in FACES if args.get(key)},
            shelve_minutes=SHELVE_MINUTES,
            **live,
        )


@blueprint.get("/alarms/journal.csv")
def journal_csv() -> Response:
    """The journal under the same filter, as CSV."""
    with find_console().reading() as sources:
        text = write_journal(service.journal(sources.session, _read_filter(), None, EXPORTED_MOST))
    headers = {"Content-Disposition": "attachment; filename=alarm-journal.csv"}
    return Response(text, mimetype="text/csv", headers=headers)


@blueprint.get("/alarms/statistics")
def alarm_statistics() -> str:
    """How often alarms are raised, floods, and which chatter, are stale or come most often."""
    days = request.args.get("days", type=int)
    with find_console().reading() as sources:
        page = find_statistics(sources, days if days in STATISTICS_DAYS else 7, request.args.get("gateway", ""))
        return render_template(
            "console/alarm_statistics.html",
            page=page,
            spans=STATISTICS_DAYS,
            marks=(statistics.ACCEPTABLE_A_DAY, statistics.MOST_A_DAY),
            columns=draw_columns([count for _, count in page.figures.hours]),
            now_ns=sources.now_ns,
        )


@blueprint.post("/alarms/operate")
def operate() -> ResponseReturnValue:
    """Ask for a change of the alarms picked, then show the list, where they are pending."""
    form = request.form
    # A row's own button acknowledges that one alarm, whatever else is picked.
    action = "acknowledge" if "acknowledge" in form else form.get("action", "")
    picked = [form["acknowledge"]] if "acknowledge" in form else form.getlist("pick")
    if action not in ACTIONS:
        raise InvalidError(gettext("There is no such command."))
    if not picked:
        flash(gettext("Pick at least one alarm."))
    minutes = form.get("minutes", default=0.0, type=float)
    if not 0 <= minutes <= SHELVE_MOST_MINUTES:
        raise InvalidError(gettext("An alarm cannot be shelved for that long."))
    _ask(action, picked, minutes if action == "shelve" else 0.0, form.get("comment", "").strip()[:COMMENT_MOST])
    return redirect(local_path(form.get("next")))


def _ask(action: str, picked: list[str], minutes: float, comment: str) -> None:
    """Ask for each, and tell of those that could not even be asked for."""
    services = find_console().services
    key, now_ns = partial(load_key, services.settings.data_dir), services.clock()
    refusals = []
    with changing(f"alarm.{action}", count=len(picked), alarms=picked[:TOLD_ALARMS]) as db:
        for each in picked:
            gateway, occurrence, name = _read_pick(each)
            wanted = AlarmRequest(alarm=name, occurrence=occurrence, minutes=minutes, comment=comment)
            try:
                operations.operate(db, key, gateway, action, wanted, current_user.name, now_ns)
            except FleetError as error:
                refusals.append(f"{error}" + (f" ({error.hint})" if error.hint else ""))
    if refusals:
        told = ngettext("%(num)s alarm was not changed", "%(num)s alarms were not changed", len(refusals))
        flash(f"{told}: {'; '.join(dict.fromkeys(refusals[:3]))}"[:TOLD_MOST])


def _read_pick(text: str) -> tuple[str, int, str]:
    """Read ``<gateway> <occurrence> <alarm>``, as a row of the list names what was seen; the gateway may be empty."""
    gateway, _, rest = text.partition(" ")
    occurrence, _, name = rest.partition(" ")
    if not name or not occurrence.isdecimal() or len(name) > 256:
        raise InvalidError(gettext("There is no such alarm."))
    return gateway, min(int(occurrence), INT_MAX), name


def _read_filter() -> Filter:
    args = request.args
    return Filter(
        gateway=args.get("gateway", ""),
        alarm=args.get("alarm", ""),
        kind=args.get("kind", ""),
        priority=read_number("priority", LEAST_URGENT) or 0,
        from_ns=_read_time("from"),
        to_ns=_read_time("to"),
    )


def _read_time(name: str) -> int | None:
    """A local time of the address, ``2026-11-26T10:00``; None for anything else, as if it were not given."""
    try:
        moment = datetime.fromisoformat(request.args.get(name, ""))
        seconds = int(moment.replace(tzinfo=moment.tzinfo or ZoneInfo(ZONE)).timestamp())
        return min(max(seconds * NS, 0), INT_MAX)
    except (ValueError, OverflowError):
        return None
