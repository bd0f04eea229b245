"""The pages of waveforms: how far each stream reaches and what is missing in it, its chart, and its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from flask import Response, render_template, request, stream_with_context, url_for
from flask_babel import gettext
from sqlalchemy.orm import Session

from fleet.api import reading
from fleet.console.drawing import draw_wave
from fleet.console.notation import LATEST_NS, read_local, write_local
from fleet.console.state import find_console
from fleet.console.views import blueprint
from fleet.console.words import FORM_TITLES, WAVE_SPANS
from fleet.errors import InvalidError
from fleet.waveforms import export, places, service
from fleet.waveforms.export import Wanted
from fleet.waveforms.index import HOUR_NS, MINUTE_NS
from fleet.waveforms.service import Chart, Reach
from fleet.waveforms.stationxml import Channel

SPANS_NS = {
    "1m": MINUTE_NS,
    "10m": 10 * MINUTE_NS,
    "1h": HOUR_NS,
    "24h": 24 * HOUR_NS,
    "7d": 7 * 24 * HOUR_NS,
    "30d": 30 * 24 * HOUR_NS,
}
SPAN = "1h"
SPAN_LEAST_NS = 1_000_000_000


class Group(msgspec.Struct, frozen=True):
    """The streams of one station."""

    station: str
    rows: tuple[Reach, ...]


class Shown(msgspec.Struct, frozen=True):
    """The time that a chart shows; ``span`` names it, "" for one that was chosen by its ends."""

    start_ns: int
    end_ns: int
    span: str


@blueprint.get("/waveforms")
def waveforms() -> str:
    """All streams, station by station."""
    gateway, station = request.args.get("gateway", ""), request.args.get("station", "")
    with find_console().reading() as sources:
        rows = service.list_streams(sources.session, gateway, station)
        names = dict.fromkeys(row.station for row in rows)
        groups = [Group(name, tuple(row for row in rows if row.station == name)) for name in names]
        return render_template(
            "console/waveforms.html", groups=groups, gateway=gateway, station=station, now_ns=sources.now_ns
        )


@blueprint.get("/waveforms/<stream>")
def waveform(stream: str) -> str:
    """One stream: its chart, its gaps, its files."""
    with find_console().reading() as sources:
        reach = service.get_stream(sources.session, stream)
        shown, trouble = _read_shown(reach, sources.now_ns)
        chart = service.chart(sources.session, stream, shown.start_ns, shown.end_ns)
        channel = places.find_channel(sources.session, stream)
        return render_template(
            "console/waveform.html",
            reach=reach,
            chart=chart,
            drawn=draw_wave(chart),
            shown=shown,
            channel=channel,
            scale=_scale(channel, chart),
            spans=WAVE_SPANS,
            from_text=write_local(shown.start_ns),
            to_text=write_local(shown.end_ns),
            earlier=_link(stream, shown, -1),
            later=_link(stream, shown, 1) if shown.end_ns < sources.now_ns else "",
            forms=FORM_TITLES,
            trouble=trouble,
            now_ns=sources.now_ns,
        )


@blueprint.get("/waveforms/<stream>/file")
def waveform_file(stream: str) -> Response:
    """Send what a chart shows as miniSEED or CSV, to the sample."""
    with find_console().reading() as sources:
        reach = service.get_stream(sources.session, stream)
        shown, trouble = _read_shown(reach, sources.now_ns)
        if trouble:
            raise InvalidError(trouble)
        wanted = [(reach.stream, shown.start_ns, shown.end_ns)]
        return send_file(sources.session, wanted, f"{reach.stream}-{shown.start_ns // 1_000_000_000}")


def send_file(session: Session, wanted: Sequence[Wanted], name: str) -> Response:
    """Send waveforms in the ``format`` that the request asks for, as a file of this name, a little at a time."""
    form = export.FORMS.get(request.args.get("format", "miniseed"))
    if form is None:
        raise InvalidError(gettext("There is no such format."))
    export.count_samples(session, wanted)

    def write() -> Iterator[bytes]:
        with reading() as session:
            yield from export.write(session, wanted, form)

    headers = {"Content-Disposition": f"attachment; filename={name}.{form.ending}"}
    return Response(stream_with_context(write()), mimetype=form.mime, headers=headers)


def _read_shown(reach: Reach, now_ns: int) -> tuple[Shown, str]:
    """Return the time asked for, and what is wrong with it. Without one it is the last hour that has data."""
    span = request.args.get("span", "")
    at_ns = request.args.get("at", type=int)
    given = request.args.get("from", ""), request.args.get("to", "")
    usual = _usual(reach, now_ns, span, at_ns)
    if not any(given):
        return usual, ""
    start_ns, end_ns = map(read_local, given)
    if start_ns is None or end_ns is None or not 0 <= start_ns < end_ns - SPAN_LEAST_NS < LATEST_NS:
        return usual, gettext("Write both times, the earlier one first.")
    return Shown(start_ns, end_ns, ""), ""


def _usual(reach: Reach, now_ns: int, span: str, at_ns: int | None) -> Shown:
    span = span if span in SPANS_NS else SPAN
    length_ns = SPANS_NS[span]
    end_ns = min(reach.newest_ns or now_ns, now_ns) if at_ns is None else min(max(at_ns, length_ns), LATEST_NS - 1)
    return Shown(max(end_ns - length_ns, 0), max(end_ns, length_ns), span)


def _link(stream: str, shown: Shown, direction: int) -> str:
    """The address of the time before or after the one shown."""
    length_ns = shown.end_ns - shown.start_ns
    if shown.span:
        at_ns = max(shown.end_ns + direction * length_ns, length_ns)
        return url_for("console.waveform", stream=stream, span=shown.span, at=at_ns)
    begin, end = (write_local(at_ns + direction * length_ns) for at_ns in (shown.start_ns, shown.end_ns))
    return url_for("console.waveform", stream=stream, **{"from": begin, "to": end})  # type: ignore[arg-type]


def _scale(channel: Channel | None, chart: Chart) -> tuple[float, float, str] | None:
    """The extremes in gal or mm/s, where the channel's sensitivity is known."""
    if channel is None or not chart.columns:
        return None
    factor, unit = (100.0, "gal") if channel.input_unit == "m/s**2" else (1000.0, "mm/s")
    middle = _middle(chart)
    ends = (min(one.least for one in chart.columns), max(one.most for one in chart.columns))
    low, high = ((end - middle) / channel.gain * factor for end in ends)
    return low, high, unit


def _middle(chart: Chart) -> float:
    """Where the trace rests: gravity and the digitiser's offset are no motion."""
    middles = sorted((one.least + one.most) / 2 for one in chart.columns)
    return middles[len(middles) // 2]
