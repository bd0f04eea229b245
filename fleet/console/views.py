"""The console's pages: each view reads its address, calls one service function, and renders."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, redirect, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_login import current_user

from fleet.accounts import scope
from fleet.accounts import service as accounts
from fleet.alarms.service import find_newest
from fleet.api import INT_MAX, changing
from fleet.commands import service as commands
from fleet.commands.keys import load_key
from fleet.console.drawing import draw_still
from fleet.console.notation import NS, count_decimals, write_limit
from fleet.console.state import find_console
from fleet.console.streams import Draw, Held, stream_changes
from fleet.console.tagview import view_change, view_row
from fleet.console.troubles import TROUBLES, show_status
from fleet.console.words import LEVELS, SPANS, find_word
from fleet.errors import FleetError, InvalidError
from fleet.overview import service as overview
from fleet.overview.counts import find_counts
from fleet.overview.figures import Label, Point, TagRow
from fleet.overview.labels import read_labels
from fleet.overview.losses import find_losses
from fleet.overview.notifications import find_notifications
from fleet.overview.quarantine import find_quarantine
from fleet.overview.relay import list_relay
from fleet.overview.rollouts import find_updates
from fleet.overview.values import CHART_POINTS, live_reading

blueprint = Blueprint(
    "console", __name__, template_folder="templates", static_folder="static", static_url_path="/assets"
)

LANGUAGES = {"zh": "zh_Hans_CN", "en": "en"}
THEMES = ("auto", "light", "dark")
PRESETS: dict[str, dict[str, Any]] = {"report": {}, "reconnect": {}, "log-level": {"level": "debug", "minutes": 10}}
"""The arguments of the commands that a page offers."""


@blueprint.errorhandler(FleetError)
def show_fleet_error(error: FleetError) -> ResponseReturnValue:
    """Answer what a service refuses with the page of that status."""
    status = error.status if error.status in TROUBLES else 400
    return show_status(status, str(error)), status


# preferences


@blueprint.post("/preferences")
def prefer() -> ResponseReturnValue:
    """Remember a language or a theme in this browser."""
    answer = redirect(local_path(request.form.get("next")))
    for name, known in (("language", tuple(LANGUAGES)), ("theme", THEMES)):
        value = request.form.get(name)
        if value in known:
            answer.set_cookie(
                name, value, max_age=365 * 86_400, httponly=True, samesite="Lax", secure=request.is_secure
            )
    return answer


def local_path(target: str | None) -> str:
    """A path on this server to go to; Now for anything else, so that nobody is led away."""
    parts = urlsplit((target or "").replace("\\", "/"))
    if not target or parts.scheme or parts.netloc or not parts.path.startswith("/") or target.startswith("//"):
        return url_for("console.now")
    return parts._replace(fragment="").geturl()


def read_number(name: str, most: int) -> int | None:
    """A number of the address, from 0 to ``most``; None for anything else, as if it were not given."""
    number = request.args.get(name, type=int)
    return number if number is not None and 0 <= number <= most else None


def read_field(name: str) -> int:
    """A number of the form, from 0 to what a database column holds; 0 for anything else."""
    number = request.form.get(name, 0, type=int)
    return number if 0 <= number <= INT_MAX else 0


# pages


@blueprint.get("/")
def now() -> str:
    """What needs action."""
    with find_console().reading() as sources:
        page = overview.find_now(sources)
        return render_template(
            "console/now.html", page=page, now_ns=sources.now_ns, events=url_for("console.events"), teach=teach()
        )


@blueprint.get("/gateways")
def gateways() -> str:
    """All gateways."""
    args = request.args
    with find_console().reading() as sources:
        page = overview.find_gateways(
            sources,
            state=args.get("state", ""),
            sector=args.get("sector", ""),
            q=args.get("q", ""),
            sort=args.get("sort", ""),
            number=read_number("page", 10**6) or 1,
        )
        return render_template(
            "console/gateways.html", page=page, now_ns=sources.now_ns, events=url_for("console.events"), teach=teach()
        )


@blueprint.get("/gateways/<name>")
def gateway(name: str) -> str:
    """One gateway and its tags."""
    return show_gateway(name)


def show_gateway(name: str, trouble: str = "", code: str = "", by: str = "") -> str:
    """Draw the page of a gateway, with what went wrong with a form of it, or the code for who is to replace it."""
    with find_console().reading() as sources:
        page = overview.find_gateway(sources, name, request.args.get("show", ""))
        # A page that shows a code is not read anew, for the code would go.
        address = "" if code else url_for("console.gateway_events", name=name)
        return render_template(
            "console/gateway.html",
            page=page,
            updates=find_updates(sources.session, name),
            now_ns=sources.now_ns,
            events=address,
            presets=PRESETS,
            trouble=trouble,
            change=request.form.get("change", ""),
            code=code,
            by=by,
        )


@blueprint.post("/gateways/<name>/commands")
def command(name: str) -> ResponseReturnValue:
    """Ask a gateway to do something once, then show its page, where the command is pending."""
    chosen = request.form.get("command", "")
    if chosen not in PRESETS:
        raise InvalidError(gettext("There is no such command."))
    services = find_console().services
    key = partial(load_key, services.settings.data_dir)
    with changing("command.issue", name, command=chosen) as db:
        commands.issue(db, key, name, chosen, PRESETS[chosen], current_user.name, commands.LIFETIME_S, services.clock())
    return redirect(url_for("console.gateway", name=name))


@blueprint.get("/gateways/<name>/losses")
def losses(name: str) -> str:
    """What one gateway had to give up."""
    with find_console().reading() as sources:
        page = find_losses(sources, name, read_number("before", INT_MAX))
        return render_template("console/losses.html", page=page, now_ns=sources.now_ns)


@blueprint.get("/gateways/<name>/quarantine")
def quarantine(name: str) -> str:
    """What could not be read of one gateway."""
    with find_console().reading() as sources:
        page = find_quarantine(sources, name, read_number("before", INT_MAX))
        return render_template("console/quarantine.html", page=page, now_ns=sources.now_ns)


@blueprint.get("/gateways/<name>/counts")
def counts(name: str) -> str:
    """What was committed of one gateway, hour by hour."""
    with find_console().reading() as sources:
        page = find_counts(sources, name, read_number("before", INT_MAX))
        return render_template("console/counts.html", page=page, now_ns=sources.now_ns)


@blueprint.get("/gateways/<name>/tags/<tag>")
def tag(name: str, tag: str) -> str:
    """One tag and its history."""
    with find_console().reading() as sources:
        page = overview.find_tag(sources, name, tag, request.args.get("span", "1h"))
        row = TagRow(label=page.label, reading=page.reading, alarm=page.alarm)
        return render_template(
            "console/tag.html",
            page=page,
            view=view_row(row, sources.now_ns),
            still=draw_still(page.points, page.label, page.begin_ns, page.end_ns),
            spans=SPANS,
            now_ns=sources.now_ns,
            events=url_for("console.gateway_events", name=name),
        )


@blueprint.get("/gateways/<name>/tags/<tag>/history")
def history(name: str, tag: str) -> dict[str, Any]:
    """The history of a tag as the chart draws it, in columns."""
    with find_console().reading() as sources:
        page = overview.find_tag(sources, name, tag, request.args.get("span", "1h"))
    points = break_holes(page.points, (page.end_ns - page.begin_ns) // CHART_POINTS)
    return {
        "begin": page.begin_ns / NS,
        "end": page.end_ns / NS,
        "time": [time_ns / NS for time_ns, _ in points],
        "low": [point and point.low for _, point in points],
        "mean": [point and point.mean for _, point in points],
        "high": [point and point.high for _, point in points],
        "decimals": find_decimals(page.label, page.smallest, page.largest),
        "limits": [
            {
                "limit": rule.limit,
                "priority": rule.priority,
                "text": f"{find_word(LEVELS, rule.level)} {write_limit(rule.limit, page.label)}",
            }
            for rule in page.label.rules
        ],
    }


def find_decimals(label: Label, low: float | None, high: float | None) -> int:
    """How many decimals the chart writes: by the instrument's range, else by what was measured."""
    by_range = count_decimals(label.low, label.high)
    if by_range is not None:
        return by_range
    by_values = count_decimals(low, high)
    return 2 if by_values is None else by_values


def break_holes(points: Sequence[Point], step_ns: int) -> list[tuple[int, Point | None]]:
    """The points with a None in each hole longer than five stretches and 10 s, so that no line crosses it."""
    hole = max(5 * step_ns, 10 * NS)
    row: list[tuple[int, Point | None]] = []
    for point in points:
        if row and point.time_ns - row[-1][0] > hole:
            row.append((row[-1][0] + max(step_ns, 1), None))
        row.append((point.time_ns, point))
    return row


@blueprint.get("/alarms/notifications")
def notifications() -> str:
    """Who was told of alarms: each message, and what became of it."""
    before = read_number("before", INT_MAX)
    with find_console().reading() as sources:
        page = find_notifications(sources, before, find_console().services.settings.notify_rules)
        return render_template("console/notifications.html", page=page, now_ns=sources.now_ns)


@blueprint.get("/relay")
def relay() -> str:
    """The platforms that records are handed on to."""
    with find_console().reading() as sources:
        rows = list_relay(sources)
        return render_template(
            "console/relay.html", rows=rows, now_ns=sources.now_ns, events=url_for("console.events"), teach=teach()
        )


def teach() -> dict[str, str]:
    """The commands that an empty page tells, with the data directory in use."""
    data = shlex.quote(str(find_console().services.settings.data_dir))
    return {
        "site": f"fengsui-fleet site add yufu-chem --title 鱼复化工 --sector chemical --data {data}",
        "register": "fengsui-fleet gateway add gw-yufu-0001 --site yufu-chem"
        f" --token-file gw-yufu-0001.token --data {data}",
        "check": "fengsui-edge check gw-yufu-0001.toml",
        "run": "fengsui-edge run --config gw-yufu-0001.toml --data /var/lib/fengsui",
        "relay": f"fengsui-fleet destination add district --url https://platform.example/records --data {data}",
    }


# event streams


@blueprint.get("/events")
def events() -> Response:
    """Tell when anything in the fleet changes."""
    return _stream(None, None)


@blueprint.get("/gateways/<name>/events")
def gateway_events(name: str) -> Response:
    """Send the newest values of a gateway's tags, and tell when its page changes."""
    with find_console().reading() as sources:
        labels = {tag: label for tag, (_, label) in read_labels(sources.session, name).items()}

    def draw(values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {tag: view_change(labels[tag], live_reading(value)) for tag, value in values.items() if tag in labels}

    return _stream(name, draw)


def _stream(gateway: str | None, draw: Draw | None) -> Response:
    console = find_console()
    if not console.slots.take():
        return Response(status=503, headers={"Retry-After": "10"})
    # The request's context stays with the stream: words are written in the reader's language.
    session_id = current_user.get_id()

    def look() -> int | None:
        with console.services.database.reading() as db:
            account = accounts.find(db, session_id)
        if account is None:
            return None
        with scope.reading(console.services.database, account.scope) as db:
            return find_newest(db)

    parts = stream_with_context(stream_changes(console.services.live, gateway, look, draw))
    return Response(
        Held(parts, console.slots),
        mimetype="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
