"""The pages of one commissioning: the live checklist, trials of outputs, the report and its signature."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flask import Response, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from fleet.accounts import service as accounts
from fleet.accounts.authorization import Permission
from fleet.accounts.models import Role
from fleet.api import changing, find_actor, find_services, reading
from fleet.audit import service as audit
from fleet.commands.keys import load_key
from fleet.commissioning import finding, service
from fleet.commissioning.models import Commissioning
from fleet.commissioning.steps import compose, is_complete
from fleet.console import faults
from fleet.console.state import find_console
from fleet.console.streams import Held, stream_looks
from fleet.console.views import blueprint, read_field
from fleet.errors import NotFoundError

if TYPE_CHECKING:
    from fleet.console.report import Signature

PDF = "application/pdf"

# The report is imported where one is wanted: what draws PDF is large, and the console would wait for it at its start.


@blueprint.get("/claim/<int:number>")
def commissioning(number: int) -> str:
    """The checklist as it stands. An event stream has it read again when something changes."""
    from fleet.console.report import gather

    services = find_services()
    with reading() as db:
        row = service.get(db, number)
        steps = compose(finding.find(db, row, services.clock()))
        page = gather(db, row)
    lines = [faults.describe(step) for step in steps]
    return render_template(
        "console/commissioning.html",
        row=row,
        page=page,
        lines=lines,
        done=sum(line.step.state == "done" for line in lines),
        is_complete=is_complete(steps),
        may_try=_may_try(row),
        may_sign=current_user.may(Permission.SIGN) and row.signed_ns is None,
        signs_as=current_user.name if current_user.role is Role.ENTERPRISE else "",
        now_ns=services.clock(),
        events=url_for("console.commissioning_events", number=number),
    )


def _may_try(row: Commissioning) -> bool:
    return bool(current_user.may(Permission.PROVISION)) and row.signed_ns is None


@blueprint.get("/claim/<int:number>/events")
def commissioning_events(number: int) -> Response:
    """Tell when the checklist has changed."""
    console, services = find_console(), find_services()
    with reading() as db:
        service.get(db, number)
    if not console.slots.take():
        return Response(status=503, headers={"Retry-After": "10"})
    session_id = current_user.get_id()

    def look() -> object:
        with services.database.reading() as db:
            if accounts.find(db, session_id) is None:
                return None
            row = service.get(db, number)
            return compose(finding.find(db, row, services.clock())), row.signed_ns

    return Response(
        Held(stream_with_context(stream_looks(services.live, look)), console.slots),
        mimetype="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@blueprint.post("/claim/<int:number>/trial")
def try_output(number: int) -> ResponseReturnValue:
    """Have the gateway switch an output on for some seconds."""
    services, output = find_services(), request.form.get("output", "")[:64]
    key = partial(load_key, services.settings.data_dir)
    with changing("commissioning.trial", str(number), output=output) as db:
        service.try_output(db, key, number, output, current_user.name, services.clock())
    return _back(number)


@blueprint.post("/claim/<int:number>/seen")
def note_seen(number: int) -> ResponseReturnValue:
    """Take whether the output was seen or heard."""
    trial, was_seen = read_field("trial"), request.form.get("seen") == "yes"
    with changing("commissioning.seen", str(number), trial=trial, seen=was_seen) as db:
        service.note_seen(db, number, trial, was_seen, find_services().clock())
    return _back(number)


@blueprint.get("/claim/<int:number>/photo")
def commissioning_photo(number: int) -> Response:
    """The photo from the site."""
    with reading() as db:
        photo = service.get(db, number).photo
    if photo is None:
        raise NotFoundError(gettext("There is no photo."))
    return Response(photo, mimetype="image/jpeg")


@blueprint.get("/claim/<int:number>/report.pdf")
def commissioning_report(number: int) -> Response:
    """The report: as it was signed, or as it stands."""
    with reading() as db:
        row = service.get(db, number)
    report = row.report or _draw(number, None)
    headers = {"Content-Disposition": f"inline; filename=commissioning-{row.gateway}.pdf"}
    return Response(report, mimetype=PDF, headers=headers)


@blueprint.post("/claim/<int:number>/sign")
def sign_commissioning(number: int) -> ResponseReturnValue:
    """Sign the report off: from now on nothing of it changes, and the audit log has its SHA-256."""
    from fleet.console.report import Signature

    with reading() as db:  # what this account does not see, it does not sign
        row = service.get(db, number)
    services = find_services()
    is_enterprise = current_user.role is Role.ENTERPRISE
    name = current_user.name if is_enterprise else service.check_name(request.form.get("name", ""))
    via = "account" if is_enterprise else "hand"
    strokes = service.read_strokes(request.form.get("strokes", ""))
    now_ns = services.clock()
    signature = Signature(by=name, witness=current_user.name, via=via, at_ns=now_ns, strokes=strokes)
    report = _draw(number, signature)
    with services.database.writing() as db:
        signed = service.sign(db, number, name, via, strokes, report, now_ns)
        detail = {"number": number, "signed_by": name, "as": via, "sha256": signed.report_sha256}
        audit.append(db, now_ns, find_actor(), "commissioning.sign", row.gateway, detail)
    return _back(number)


def _draw(number: int, signature: Signature | None) -> bytes:
    """Draw the report of everything that the fleet knows: who may see the commissioning may see all of its report."""
    from fleet.console.report import draw, gather

    services = find_services()
    with services.database.reading() as db:
        row = service.get(db, number)
        steps = compose(finding.find(db, row, services.clock()))
        return draw(gather(db, row), [faults.describe(step) for step in steps], signature, services.clock())


def _back(number: int) -> ResponseReturnValue:
    return redirect(url_for("console.commissioning", number=number), 303)
