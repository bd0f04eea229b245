"""The pages of earthquakes: the list, one event while it grows, and its report for the duty officer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask import Response, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from sqlalchemy.orm import Session

from fleet.accounts import scope
from fleet.accounts import service as accounts
from fleet.api import INT_MAX, find_account, find_services, reading
from fleet.console.notation import write_local
from fleet.console.quakedraw import draw_map, draw_waves
from fleet.console.state import find_console
from fleet.console.streams import Held, stream_looks
from fleet.console.views import blueprint, read_number
from fleet.console.waveviews import send_file
from fleet.console.words import FORM_TITLES
from fleet.errors import NotFoundError
from fleet.quakes import service
from fleet.quakes.positions import count_stations
from fleet.quakes.waves import find_reach, find_wanted, find_waves

PDF = "application/pdf"
LOOK_S = 0.25
"""Between two looks at an event: it is on the page within a second."""


@blueprint.get("/quakes")
def quakes() -> str:
    """All earthquakes, the newest first."""
    before_ns, with_rejected = read_number("before", INT_MAX), request.args.get("rejected") == "1"
    with find_console().reading() as sources:
        rows = service.list_quakes(
            sources.session, sources.now_ns, before_ns, service.LISTED + 1, with_rejected=with_rejected
        )
        return render_template(
            "console/quakes.html",
            rows=rows[: service.LISTED],
            older=rows[service.LISTED - 1].onset_ns if len(rows) > service.LISTED else None,
            with_rejected=with_rejected,
            stations=count_stations(sources.session),
            now_ns=sources.now_ns,
            events=url_for("console.quakes_events") if before_ns is None else "",
        )


@blueprint.get("/quakes/events")
def quakes_events() -> Response:
    """Tell when the list changes."""
    return _stream(service.look_at)


@blueprint.get("/quakes/<int:number>")
def quake(number: int) -> ResponseReturnValue:
    """One earthquake. Of one that is part of another, that."""
    with find_console().reading() as sources:
        try:
            found = service.get_quake(sources.session, number, sources.now_ns)
        except NotFoundError:
            into = service.find_merged(sources.session, number)
            if into is None or into == number:
                raise
            return redirect(url_for("console.quake", number=into))
        waves = find_waves(sources.session, found.reports)
        wanted = find_wanted(sources.session, found.reports)
        return render_template(
            "console/quake.html",
            one=found.summary,
            reports=found.reports,
            streets=found.streets,
            map=draw_map(found.reports, found.streets),
            sheet=draw_waves(waves) if waves else None,
            forms=FORM_TITLES if wanted else {},
            window={"from": write_local(wanted[0][1]), "to": write_local(wanted[0][2])} if wanted else {},
            now_ns=sources.now_ns,
            events=url_for("console.quake_events", number=number),
        )


@blueprint.get("/quakes/<int:number>/events")
def quake_events(number: int) -> Response:
    """Tell when the page of an earthquake changes."""
    with reading() as session:
        service.get_quake(session, number, find_services().clock())
    return _stream(partial(_look_at, number=number))


def _look_at(session: Session, number: int) -> tuple[object, ...]:
    """Its reports, and any packet of a waveform that has come since: the page draws those too."""
    return (*service.look_at(session, number), find_reach(session, service.list_reports(session, number)))


@blueprint.get("/quakes/<int:number>/report.pdf")
def quake_report(number: int) -> Response:
    """The report for the duty officer, as of now and of what the account sees."""
    from fleet.console.quakereport import draw  # with what draws PDF: the console does not wait for it at its start

    with find_console().reading() as sources:
        found = service.get_quake(sources.session, number, sources.now_ns)
        report = draw(found, sources.now_ns, current_user.name)
    headers = {"Content-Disposition": f"inline; filename=earthquake-{number}.pdf"}
    return Response(report, mimetype=PDF, headers=headers)


@blueprint.get("/quakes/<int:number>/waveforms")
def quake_waveforms(number: int) -> Response:
    """Send the waveforms of all stations of an earthquake that the account sees, as one file."""
    with find_console().reading() as sources:
        found = service.get_quake(sources.session, number, sources.now_ns)
        wanted = find_wanted(sources.session, found.reports)
        if not wanted:
            raise NotFoundError(f"there are no waveforms of earthquake {number}")
        return send_file(sources.session, wanted, f"earthquake-{number}")


def _stream(look_at: Callable[[Session], object]) -> Response:
    console, services = find_console(), find_services()
    if not console.slots.take():
        return Response(status=503, headers={"Retry-After": "10"})
    session_id, account_id = current_user.get_id(), find_account().scope

    def look() -> object:
        with services.database.reading() as session:
            if accounts.find(session, session_id) is None:
                return None
        with scope.reading(services.database, account_id) as session:
            return look_at(session)

    return Response(
        Held(stream_with_context(stream_looks(services.live, look, LOOK_S)), console.slots),
        mimetype="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
