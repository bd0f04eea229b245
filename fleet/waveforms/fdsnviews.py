"""The FDSN web services dataselect and station, version 1, at ``/fdsnws/``. They are asked as the API is.

What they can be asked is told to anybody; what there is, to who may read it, by the sites of the account.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, request, stream_with_context, url_for
from werkzeug.exceptions import HTTPException

from fleet.api import find_services, reading
from fleet.errors import FleetError, InvalidError
from fleet.waveforms import export, fdsn, places, stationxml
from fleet.waveforms.export import FORMS, Form, Wanted
from fleet.waveforms.fdsn import DataQuery

PREFIX = "/fdsnws/"
VERSION = "1.1.1"
blueprint = Blueprint("fdsnws", __name__, url_prefix="/fdsnws")

PLAIN, XML = "text/plain", "application/xml"
BAD_REQUEST = 400


@blueprint.errorhandler(FleetError)
def show_fleet_error(error: FleetError) -> Response:
    """Answer what cannot be asked in the words of FDSN."""
    status = BAD_REQUEST if isinstance(error, InvalidError) else error.status
    return _show_trouble(status, f"{error}. {error.hint}")


@blueprint.errorhandler(HTTPException)
def show_http_error(error: HTTPException) -> Response:
    """Answer what Flask refuses in the words of FDSN."""
    return _show_trouble(error.code or BAD_REQUEST, error.description or error.name)


def _show_trouble(status: int, text: str) -> Response:
    words = f"Error {status}: {text}\n\nRequest:\n{request.url}\n\nService version:\n{VERSION}\n"
    return Response(words, status, mimetype=PLAIN)


@blueprint.get("/dataselect/1/version")
@blueprint.get("/station/1/version", endpoint="station_version")
def version() -> Response:
    """Tell which version of the interface this is."""
    return Response(f"{VERSION}\n", mimetype=PLAIN)


@blueprint.get("/dataselect/1/application.wadl")
def dataselect_wadl() -> Response:
    """Tell what dataselect can be asked."""
    return Response(fdsn.write_wadl("dataselect", _base("fdsnws.dataselect")), mimetype=XML)


@blueprint.get("/station/1/application.wadl")
def station_wadl() -> Response:
    """Tell what the station service can be asked."""
    return Response(fdsn.write_wadl("station", _base("fdsnws.station")), mimetype=XML)


def _base(endpoint: str) -> str:
    return url_for(endpoint, _external=True).removesuffix("query")


@blueprint.route("/dataselect/1/query", methods=["GET", "POST"])
def dataselect() -> Response:
    """Give waveforms as miniSEED."""
    query = fdsn.read_data_query(*_read_request())
    with reading() as session:
        wanted = _find_wanted(query)
        samples = export.count_samples(session, wanted)
    if not samples:
        return Response(status=query.nodata, mimetype=PLAIN)
    form = FORMS["miniseed3" if query.version == 3 else "miniseed"]
    headers = {"Content-Disposition": f"attachment; filename=fdsnws-dataselect.{form.ending}"}
    return Response(stream_with_context(_write(wanted, form)), mimetype=form.mime, headers=headers)


def _find_wanted(query: DataQuery) -> list[Wanted]:
    """Return (stream, from, to) of all that is asked for, each once. An end counts itself, as FDSN says."""
    wanted: dict[Wanted, None] = {}
    with reading() as session:
        for one in query.selections:
            assert one.start_ns is not None
            assert one.end_ns is not None
            wanted.update({(name, one.start_ns, one.end_ns + 1): None for name in export.select(session, one)})
    return list(wanted)


def _write(wanted: list[Wanted], form: Form) -> Iterator[bytes]:
    with reading() as session:
        yield from export.write(session, wanted, form)


@blueprint.route("/station/1/query", methods=["GET", "POST"])
def station() -> Response:
    """Describe stations: where they are, how they point, how their counts are read."""
    query = fdsn.read_station_query(*_read_request())
    services = find_services()
    with reading() as session:
        chosen = places.choose(places.list_stations(session), query)
    if not chosen:
        return Response(status=query.nodata, mimetype=PLAIN)
    if query.is_text:
        return Response(stationxml.write_text(chosen, query.level), mimetype=PLAIN)
    octets = stationxml.write_xml(chosen, query.level, services.settings.organization, services.clock())
    return Response(octets, mimetype=XML)


def _read_request() -> tuple[dict[str, str], list[str]]:
    if request.method == "POST":
        return fdsn.split_post(request.get_data(as_text=True))
    return dict(request.args.items()), []
